import { linkSnapshot } from "../hub/link_snapshot.ts";
import type { CliCommand } from "./arguments.ts";
import type { ExitCode } from "./exit_codes.ts";
import { interruptionError, onInterruption } from "./interruption.ts";
import { dropPermissions, type Grants, startConfined } from "./permissions.ts";
import type { FromWorker, ToWorker } from "./worker.ts";

/**
 * Runs `command` in a worker that has `grants` and nothing else, while this thread gives up all its permissions and
 * listens for signals: the worker cannot, since each wait for the GPU blocks it. Returns the command's exit code.
 *
 * For `fetch` it keeps the right to read and write, which making links takes, and makes them for the worker, which has the
 * network instead.
 *
 * The first SIGINT or SIGTERM lets `upscale`, `demo`, `fetch` and `convert` finish the work at hand; during another command
 * it throws a `CliError` (sigint, sigterm). A second one ends the process. Throws `Error` if the worker breaks down.
 */
export async function runConfined(command: CliCommand, grants: Grants): Promise<ExitCode> {
  const end = Promise.withResolvers<ExitCode>();
  const worker = startConfined(new URL("./worker.ts", import.meta.url), grants);
  const send = (message: ToWorker) => worker.postMessage(message);

  worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    if (data === "ready") {
      dropPermissions(command.command === "fetch" ? ["read", "write"] : []);
      return send({ command });
    }
    if ("exitCode" in data) return end.resolve(data.exitCode);
    linkSnapshot({ ...data.snapshot, entry: grants.write[0]! }).then(
      () => send({ linkProblem: null }),
      (error) => send({ linkProblem: String(error) }),
    );
  };
  worker.onerror = (event) => {
    event.preventDefault();
    end.reject(new Error(`Cannot go on: the command's thread failed: ${event.message}`));
  };

  const canFinish = ["upscale", "demo", "fetch", "convert"].includes(command.command);
  onInterruption((interruption) => {
    if (canFinish) send({ interruption });
    else end.reject(interruptionError(interruption));
  });
  return await end.promise;
}
