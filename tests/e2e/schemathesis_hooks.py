"""What schemathesis is told before it runs: bytes of a resumable upload are bytes."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
