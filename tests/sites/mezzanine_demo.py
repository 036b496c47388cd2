"""Mezzanine's own demonstration, as its commands make it, with its static files: a project in the current directory."""

import os
import sys

sys.path.insert(0, os.path.join(os.getcwd(), "project"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

application = StaticFilesHandler(get_wsgi_application())
