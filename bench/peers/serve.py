"""The Python side of serve.ts: answers requests on standard input, one line of JSON each."""
import json
import sys
import time

import numpy as np

WARM_UP_RUNS = 2


def serve(open_peer):
    """`open_peer()` returns (about, prepare); prepare(work, inputs, links, directory) returns (run, read)."""
    chains, peer = {}, {}

    def start():
        peer["about"], peer["prepare"] = open_peer()
        return {"about": peer["about"]}

    def answer(request):
        if request["do"] == "free":
            chains.clear()
            return {}
        links = request["links"]
        if request["do"] == "time":
            run, _ = chains[links]
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            return {"wallMs": 1e3 * (time.perf_counter() - wall), "cpuMs": 1e3 * (time.process_time() - cpu)}
        inputs = {
            name: np.fromfile(entry["path"], np.float32).reshape(entry["shape"])
            for name, entry in request["inputs"].items()
        }
        run, read = chains[links] = peer["prepare"](request["work"], inputs, links, request["output"])
        for _ in range(WARM_UP_RUNS):
            run()
        np.ascontiguousarray(read(), np.float32).tofile(request["output"])
        return {}

    _reply(start)
    for line in sys.stdin:
        _reply(lambda: answer(json.loads(line)))


def _reply(body):
    try:
        result = body()
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
    print(json.dumps(result), flush=True)
