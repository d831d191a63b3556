"""A worker that dies at its input number 2, for test_campaign.py."""

import json
import os
import sys

request = json.loads(sys.argv[1])
for number in range(request["first"], request["last"]):
    print(json.dumps({"begins": number, "kind": "dies"}), flush=True)
    if number == 2:
        os.abort()
    print(json.dumps({"ends": number, "outcome": "accepted", "seconds": 0.0, "memory": 0}), flush=True)
