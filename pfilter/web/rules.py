"""The rules for a web server that serves downloads, and for each the line of nginx and of Apache that keeps it.

The lines are those of the printed configurations (a test compares them), so that what mends is what was left out.
"""

from pfilter.base.finding import Finding
from pfilter.base.frozen import Frozen
from pfilter.store import http_headers


class Rule(Frozen):
    """What must hold, said as if it does; the lines that mend it; its level if not: error, warning."""

    holds: str
    nginx: str
    apache: str
    level: str = "error"


def _header(name: str, value: str, holds: str, level: str = "error") -> Rule:
    return Rule(holds, f'add_header {name} "{value}" always;', f'Header always set {name} "{value}"', level)


_FOR = {
    "X-Content-Type-Options": "browsers may not guess types",
    "Referrer-Policy": "links do not travel on as referrers",
    "X-Robots-Tag": "search engines are told to stay away",
    "Cache-Control": "no cache on the way keeps anything",
    "Cross-Origin-Resource-Policy": "other sites can't embed anything",
    "X-Frame-Options": "nothing can be framed",
}
_ONLY_THESE = (
    "location / { return 404; }",
    "RewriteRule ^ - [R=404,L]",
)
RULES = {
    "reach": Rule("a page that was just made can be fetched", 'root "DOWNLOADS";', 'DocumentRoot "DOWNLOADS"'),
    "tls": Rule(
        "only https is spoken, from TLS 1.2 up",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        "SSLProtocol -all +TLSv1.2 +TLSv1.3",
    ),
    "certificate": Rule(
        "the certificate is good for two weeks and more",
        'ssl_certificate "...";',
        'SSLCertificateFile "..."',
        "warning",
    ),
    "plain": Rule(
        "http leads to https, or nowhere",
        "listen 80; return 301 https://HOST$request_uri;",
        "Redirect permanent / https://HOST/",
    ),
    "page": Rule(
        "the page is shown, as HTML",
        f'default_type "{http_headers.HTML}";',
        f'ForceType "{http_headers.HTML}"',
    ),
    "page policy": Rule(
        "nothing runs in the page",
        f'set $pfilter_policy "{http_headers.PAGE_POLICY}";',
        f'Header always set {http_headers.POLICY} "{http_headers.PAGE_POLICY}"',
    ),
    **{name: _header(name, value, _FOR[name]) for name, value in http_headers.COMMON},
    http_headers.TRANSPORT[0]: _header(*http_headers.TRANSPORT, "browsers remember to come by https", "warning"),
    "attachment": Rule(
        "files are saved, not shown",
        "set $pfilter_disposition attachment;",
        "Header set Content-Disposition attachment",
    ),
    "file policy": Rule(
        "a file that is shown all the same is in a sandbox",
        f'set $pfilter_policy "{http_headers.FILE_POLICY}";',
        f'Header always set {http_headers.POLICY} "{http_headers.FILE_POLICY}" "expr=%{{REQUEST_STATUS}} =~ /^[23]/"',
    ),
    "type": Rule(
        "files have a harmless type, or are just bytes",
        f"types {{ }} default_type {http_headers.BYTES};",
        f"ForceType {http_headers.BYTES}",
    ),
    "content": Rule(
        "files arrive as they are: no handler works on them, whatever they are called",
        "(no fastcgi_pass, proxy_pass, ssi or sub_filter in this server)",
        "SetHandler default-handler",
    ),
    "encoding": Rule("files arrive without being compressed once more", "gzip off;", "SetEnv no-gzip 1"),
    "head": Rule("HEAD says what GET would", *_ONLY_THESE),
    "ranges": Rule("a download that broke off can go on", "max_ranges 16;", "MaxRanges 16"),
    "etag": Rule("files have an entity tag, so that what goes on is the same file", "etag on;", "FileETag MTime Size"),
    "slash": Rule(
        "a link that lost its last slash works",
        "return 301 $uri/;",
        "RewriteRule ... https://HOST%{REQUEST_URI}/ [R=301,L]",
    ),
    "ended": Rule(
        "what has ended has a page that says so, and no files",
        "try_files /$pfilter_page/index.html =404;",
        'RewriteCond "DOWNLOADS/$1/index.html" -f',
    ),
    "gone": Rule(
        "what never existed, and what is gone without a page, look the same",
        "error_page 400 401 403 404 405 406 408 410 411 412 413 414 415 429 431 494 495 496 497 =404 /pfilter-gone;",
        "ErrorDocument 404 /pfilter-gone",
    ),
    "listing": Rule("nothing is listed", "autoindex off;", "Options None"),
    "outside": Rule("nothing but pages and files can be had, nothing from outside of downloads", *_ONLY_THESE),
    "links": Rule(
        "symbolic links are not followed",
        "disable_symlinks on from=$document_root;",
        'RewriteCond "DOWNLOADS/$1" !-l',
    ),
    "methods": Rule("nothing can be written; only GET and HEAD work", *_ONLY_THESE),
    "version": Rule("the server does not tell its version", "server_tokens off;", "ServerTokens Prod", "warning"),
}


def finding(rule: Rule, problems: list[str], downloads: str, host: str) -> Finding:
    """Return what there is to say about a rule, and the lines that would mend what is wrong."""
    if not problems:
        return Finding("ok", rule.holds)
    lines = (f"nginx:  {rule.nginx}", f"Apache: {rule.apache}")
    mend = tuple(line.replace("DOWNLOADS", downloads).replace("HOST", host, 1) for line in lines)
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more like it" if len(problems) > 3 else "")
    return Finding(rule.level, f"not so: {rule.holds}: {shown}", mend)
