"""Owns how tests ask servers on this machine: by plain HTTP, with a new connection for each request, past any proxy.

One client serves all tests. `httpx.get` makes a client for each request, which takes 20 ms of CPU to load the
certificate authorities for a TLS that is not used.
"""

import ssl

import httpx

_CLIENT = httpx.Client(
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
)
delete = _CLIENT.delete
get = _CLIENT.get
post = _CLIENT.post
put = _CLIENT.put
