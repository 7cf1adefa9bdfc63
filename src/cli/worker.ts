// Runs one command in a worker that run_confined.ts has confined to the command's files.

import type { Snapshot } from "../hub/link_snapshot.ts";
import { escapeName } from "../text/escape_name.ts";
import type { CliCommand } from "./arguments.ts";
import { CliError, EXIT, type ExitCode } from "./exit_codes.ts";
import { type Interruption, interruptionError } from "./interruption.ts";
import { runCommand } from "./run_command.ts";

/** Messages to the worker: first the command, then perhaps a signal, and why links were not made, or null. */
export type ToWorker =
  | { readonly command: CliCommand }
  | { readonly interruption: Interruption }
  | { readonly linkProblem: string | null };
/** Messages from the worker: that its modules are loaded, perhaps links to make, then the end. */
export type FromWorker =
  | "ready"
  | { readonly snapshot: Omit<Snapshot, "entry"> }
  | { readonly exitCode: ExitCode };

/** This thread's end of the channel, which Deno's types for windows leave out. */
const channel = self as unknown as Worker;
const interruption = new AbortController();
const linking = Promise.withResolvers<void>();

channel.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  if ("interruption" in data) interruption.abort(interruptionError(data.interruption));
  else if ("command" in data) {
    send({ exitCode: await runCommand(data.command, { signal: interruption.signal, link }) });
  } else if (data.linkProblem === null) linking.resolve();
  else {
    const reason = escapeName(data.linkProblem);
    linking.reject(
      new CliError(EXIT.io, `Cannot make the model's folder: ${reason}; run the same command again`),
    );
  }
};
send("ready");

/** Deno lets nobody make links who may not read and write everywhere, so the other thread makes them. */
function link({ commit, files }: Snapshot): Promise<void> {
  send({ snapshot: { commit, files } });
  return linking.promise;
}

function send(message: FromWorker): void {
  channel.postMessage(message);
}
