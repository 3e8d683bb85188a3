"""The HTTP server under our fakes: many may call at one moment, and none keeps it from ending."""

from http.server import ThreadingHTTPServer


class CrowdedServer(ThreadingHTTPServer):
    """A server that lets many callers wait for it; the standard library's lets five, and a sixth tries again later."""

    daemon_threads = True
    request_queue_size = 128
