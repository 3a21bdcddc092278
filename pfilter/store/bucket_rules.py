"""What the bucket itself should know: when it may remove what nobody cleaned up, and what the public may read."""

import json

from pfilter.base.errors import ConfigError
from pfilter.config.settings import Settings
from pfilter.store.layout import DOWNLOADS, RECORDS

DAY = 86400
# A message may be tried again for five days (maximal_queue_lifetime), and its promise moves with it, but not the
# objects' age, by which these rules go.
MARGIN = 7  # days
UPLOAD_DAYS = 1  # for uploads that a crash interrupted: nobody else ever sees them


def printed(what: str, settings: Settings) -> str:
    """Return "s3-lifecycle" or "s3-policy". Raises ConfigError."""
    if not settings.store_url:
        raise ConfigError("[store] url is not set: there is no bucket")
    return lifecycle(settings) if what == "s3-lifecycle" else public_policy(settings)


def days(settings: Settings) -> int:
    """Return after how many days the rules remove an object."""
    last = settings.store_keep + DAY + settings.store_grace  # a date is promised to the end of its day
    stays = 0 if settings.store_links == "presigned" else settings.store_tombstone
    return -(-max(last, stays) // DAY) + MARGIN


def lifecycle(settings: Settings) -> str:
    """Return the lifecycle rules as `aws s3api put-bucket-lifecycle-configuration` reads them."""
    below = _prefix(settings)
    expiring = [
        {
            "ID": f"pfilter-{folder}",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{below}{folder}/"},
            "Expiration": {"Days": days(settings)},
        }
        for folder in (DOWNLOADS, RECORDS)
    ]
    uploads = {
        "ID": "pfilter-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": below},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS},
    }
    return json.dumps({"Rules": [*expiring, uploads]}, indent=2)


def public_policy(settings: Settings) -> str:
    """Return the bucket policy for `[store] links = "public"`: who knows a name may read it; nobody may list."""
    bucket = settings.store_url.removeprefix("s3://").partition("/")[0]
    statement = {
        "Sid": "PfilterDownloads",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/{_prefix(settings)}{DOWNLOADS}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def _prefix(settings: Settings) -> str:
    prefix = settings.store_url.removeprefix("s3://").partition("/")[2]
    return f"{prefix}/" if prefix else ""
