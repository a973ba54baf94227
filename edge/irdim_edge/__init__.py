"""The edge daemon: camera, detection, suspects, spool, upload."""
