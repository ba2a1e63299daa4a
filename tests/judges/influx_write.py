"""A foreign InfluxDB client at the write door: influxdb-client, plain and with gzip.

    python3 tests/judges/influx_write.py http://127.0.0.1:PORT [TOKEN]

Prints one line for each check; ends with 0 when all hold.
"""

import datetime
import json
import sys
import urllib.request

from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException


def told(name):
    print(f"ok {name}", flush=True)


def sql(url, token, query):
    body = json.dumps({"query": query}).encode()
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{url}/api/v1/sql", body, headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["rows"]


def main():
    url = sys.argv[1]
    token = sys.argv[2] if len(sys.argv) > 2 else "none"
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    for gzip in (False, True):
        with InfluxDBClient(url, token=token, org="any", enable_gzip=gzip) as client:
            assert client.ping()
            writer = client.write_api(write_options=SYNCHRONOUS)
            points = [
                Point("fluxpump")
                .tag("asset", f"flux-{number}")
                .field("pressure", 4.0 + number)
                .field("state", "running")
                .time(at + datetime.timedelta(seconds=10 * gzip), WritePrecision.MS)
                for number in range(50)
            ]
            writer.write("plant", record=points, write_precision=WritePrecision.MS)
            expected = 100 if gzip else 50
            rows = sql(url, token, "SELECT count(*), max(pressure) FROM fluxpump")
            # The answer came after the sync: what was written is there at once.
            assert rows == [[expected, 53.0]], rows
            told(f"written {'with gzip' if gzip else 'plain'} and visible")
            lines = "fluxpump,asset=flux-0 pressure=9 1767323099000\nthis is no line\n"
            try:
                writer.write("plant", record=lines, write_precision=WritePrecision.MS)
            except ApiException as error:
                assert error.status == 400, error
                told("a bad line is refused with its reason: " + json.loads(error.body)["message"])
            else:
                raise AssertionError("a bad line was taken")
            rows = sql(url, token, "SELECT count(*) FROM fluxpump")
            assert rows == [[expected]], rows
            told("and nothing of its batch was stored")


main()
