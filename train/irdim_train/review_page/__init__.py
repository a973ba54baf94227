"""The review page: a local server, and the page that it serves."""

from irdim_train.review_page.server import make_app, serve

__all__ = ["make_app", "serve"]
