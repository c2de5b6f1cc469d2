"""FastAPI, Starlette, Django and Flask on real servers: each call carries the user who made the request."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from openai_safety_otel.contract.conventions import REPORTED_HASH
from support.http import http_library
from support.serving import serving
from support.telemetry import Telemetry

from .conftest import S9, U42, Calls

Recipe = Callable[[str], ModuleType]
VISITOR = {"cookie": "session=s9"}
MEMBER = {"cookie": "session=s9", "x-user": "u42"}
BOTH = [(S9, None), (U42, S9)]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        return None


@pytest.fixture
def wsgi_serving() -> Iterator[Callable[[Any], str]]:
    """A real WSGI server with one thread for all requests."""
    running = []

    def serve(app: Any) -> str:
        server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def visit(address: str, path: str, headers: dict[str, str], method: str = "GET") -> Any:
    answer = http_library.request(method, f"http://{address}{path}", headers=headers, timeout=20)
    assert 200 == answer.status_code, answer.text
    return answer


@pytest.mark.parametrize("path", ["/chat?text=hi", "/stream?text=hi"])
def test_fastapi(path: str, recipe: Recipe, calls: Calls) -> None:
    """A visitor, then the same person logged in, from a sync dependency; plain and streamed."""
    with serving(recipe("fastapi_app").app) as address:
        for number, headers in enumerate((VISITOR, MEMBER), 1):
            assert visit(address, path, headers).text
            calls(number)
    assert BOTH == calls(2)


def test_fastapi_report(recipe: Recipe, telemetry: Telemetry) -> None:
    """A user's report names both: who reported, and whose answer it was."""
    with serving(recipe("fastapi_app").app) as address:
        answer = visit(address, "/chat?text=hi", MEMBER).json()["id"]
        visit(address, f"/report/{answer}", VISITOR, "POST")
    report = telemetry.events[-1]
    assert ("openai_safety.user_report", answer, "harmful", S9, U42) == (
        report["event.name"],
        report["gen_ai.response.id"],
        report["openai_safety.report.reason"],
        report["user.hash"],
        report[REPORTED_HASH],
    )


def test_get_user(recipe: Recipe, calls: Calls) -> None:
    """A `get_user` of the connection's scope, where the gateway has already authenticated."""
    with serving(recipe("get_user_app").app) as address:
        visit(address, "/chat?text=hi", {})
        visit(address, "/chat?text=hi", MEMBER)
    assert [(None, None), (U42, None)] == calls(2)


@pytest.mark.parametrize("path", ["/chat?text=hi", "/stream?text=hi"])
def test_flask(path: str, recipe: Recipe, calls: Calls, wsgi_serving: Callable[[Any], str]) -> None:
    """A visitor, then logged in, then nobody in the same thread: each call has its own."""
    address = wsgi_serving(recipe("flask_app").app)
    for headers in (VISITOR, MEMBER, {}):
        assert visit(address, path, headers).text
    assert [*BOTH, (None, None)] == calls(3)


# --- Django -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def django_project(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """A Django project with sessions and users in a database of its own."""
    import django
    from django.conf import settings

    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(tmp_path_factory.mktemp("django") / "db.sqlite3"),
            }
        },
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django_middleware.end_user_middleware",
        ],
        ROOT_URLCONF="tests.frameworks.django_urls",
        SECRET_KEY="for tests on loopback only",
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return importlib.import_module("tests.frameworks.django_urls")


@pytest.fixture
def member(django_project: ModuleType) -> tuple[str, str]:
    """A logged-in user: cookie, and identifier of the session it belongs to."""
    from django.contrib.auth.models import User
    from django.test import Client

    from openai_safety_otel.who.identifier import Hasher
    from support.telemetry import KEY

    user, _ = User.objects.get_or_create(id=42, username="jo@example.com")
    client = Client()
    client.force_login(user)
    session = client.cookies["sessionid"].value
    return f"sessionid={session}", Hasher(KEY).session(session)


@pytest.mark.parametrize(
    "path", ["/sync?text=hi", "/async?text=hi", "/sync-stream?text=hi", "/async-stream?text=hi"]
)
@pytest.mark.parametrize("server", ["asgi", "wsgi"])
def test_django(
    server: str,
    path: str,
    recipe: Recipe,
    member: tuple[str, str],
    calls: Calls,
    wsgi_serving: Callable[[Any], str],
) -> None:
    """Sync and async views, plain and streamed, under both kinds of server: a member, then nobody."""
    from openai_safety_otel.who.identifier import Hasher
    from support.telemetry import KEY

    cookie, session = member
    recipe("django_middleware")
    entry = recipe("django_entry")

    def visits(address: str) -> None:
        for headers in ({"cookie": cookie}, {}):
            assert visit(address, path, headers).text

    if server == "asgi":
        with serving(entry.asgi) as address:
            visits(address)
    else:
        visits(wsgi_serving(entry.wsgi))
    assert [(Hasher(KEY).end_user("42"), session), (None, None)] == calls(2)


def test_the_recipes_folder_is_complete() -> None:
    """Every recipe is used by a check."""
    here = Path(__file__).parent
    checks = "".join(path.read_text() for path in here.glob("check_*.py"))
    assert [] == [path.stem for path in (here / "recipes").glob("*.py") if path.stem not in checks]
