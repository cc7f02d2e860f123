"""A small real process for tests of the supervisor: listens on 127.0.0.1, or fails.

usage: listener.py PORT [fail]
"""

import socket
import sys
import time

if sys.argv[2:] == ["fail"]:
    sys.exit("listener: told to fail")
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    time.sleep(600)
