"""Doorpost as a CGI program under servers that deploy/ has no file for: the same table of answers. (Apache's mod_cgid and lighttpd's
mod_cgi are in test_answers.py, as they ship.)"""

from support import servers
from answers import every_row_of_the_table
from support.runner import run_tests


def under(start, *programs, **traits):
    def test():
        return servers.missing(*programs) or every_row_of_the_table(start, **traits)
    test.title = test.__name__ = f"{start.__name__.replace('_', ' ')}: every row of the table"
    return test


run_tests(under(servers.apache_cgi, "apache2"),
          under(servers.nginx_fcgiwrap, "nginx", "fcgiwrap"),
          under(servers.busybox_httpd, "busybox", chunks=False),
          under(servers.uwsgi_cgi, "uwsgi", chunks=False),
          under(servers.h2o_cgi, "h2o", "perl"))
