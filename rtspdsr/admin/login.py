"""Login and logout of a browser: the token once, then a cookie."""

import time

from aiohttp import web

from rtspdsr.admin.answers import LoggedIn
from rtspdsr.admin.asked import Asked, Login
from rtspdsr.admin.guard import COOKIE, GUARD, LOGIN_S
from rtspdsr.admin.route import Call


async def log_in(call: Call[Login]) -> web.Response:
    """The cookie is HttpOnly and SameSite=Strict, and Secure if a proxy says that it was reached by TLS.

    On the Unix socket, where no token is needed, there is none.
    """
    request = call.request
    cookie = request.app[GUARD].log_in(call.asked.token, request.remote or "", time.time())
    answer: LoggedIn = {"expires_s": None if cookie is None else LOGIN_S}
    response = web.json_response(answer)
    if cookie is not None:
        secure = request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            COOKIE, cookie, max_age=LOGIN_S, httponly=True, samesite="Strict", secure=secure, path="/"
        )
    return response


async def log_out(_call: Call[Asked]) -> web.Response:
    """The browser forgets its cookie. To end every login, change the token and restart the daemon."""
    answer: LoggedIn = {"expires_s": 0}
    response = web.json_response(answer)
    response.del_cookie(COOKIE, path="/")
    return response
