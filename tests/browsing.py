"""A real headless Chromium for the tests of pages."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pages are not tested")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: pages are not tested (apt install chromium)")
