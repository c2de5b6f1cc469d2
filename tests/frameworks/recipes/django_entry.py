from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from openai_safety_otel.middleware import SafetyMiddleware, SafetyWsgiMiddleware

asgi = SafetyMiddleware(get_asgi_application())  # asgi.py
wsgi = SafetyWsgiMiddleware(get_wsgi_application())  # wsgi.py
