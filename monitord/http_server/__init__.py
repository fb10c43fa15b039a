"""What every server of ours needs: a token, limits to connections and requests, one way to serve and to end.

It knows no store and no answers: `monitord/mcp_server/` and `monitord/web/` bring an ASGI application.
"""
