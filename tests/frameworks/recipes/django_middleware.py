from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware

from openai_safety_otel import set_end_user


def tell(user, session):
    set_end_user(str(user.pk) if user.is_authenticated else None, session=session.session_key)


@sync_and_async_middleware
def end_user_middleware(get_response):
    if iscoroutinefunction(get_response):

        async def middleware(request):
            tell(await request.auser(), request.session)
            return await get_response(request)

    else:

        def middleware(request):
            tell(request.user, request.session)
            return get_response(request)

    return middleware
