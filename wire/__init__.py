"""Requests and answers as bytes: Tornado's own interfaces on one side, llhttp and a socket on the other.

Nothing here knows what a request means. Whatever stands behind `tornado.httputil.HTTPServerConnectionDelegate`, which
is our door with its application, is served alike by Tornado's HTTPServer and by `wire.server.WireServer`.
"""
