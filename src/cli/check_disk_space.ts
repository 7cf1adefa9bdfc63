import { statfs } from "node:fs/promises";
import { formatByteSize } from "../text/byte_size.ts";
import { escapeName } from "../text/escape_name.ts";
import type { DiskNeed } from "../vsr/disk_need.ts";
import { CliError, EXIT } from "./exit_codes.ts";
import type { Reporter } from "./progress.ts";

/**
 * Compares the free space of `folder` with what a job will write there. Throws `CliError` (cannotCreate) where it does
 * not even suffice for the job's state; warns where the frames may not fit. Says nothing where Deno may not look.
 */
export async function checkDiskSpace(
  folder: string,
  { need, reporter }: { readonly need: DiskNeed; readonly reporter: Reporter },
): Promise<void> {
  const free = await freeBytes(folder);
  if (free === null || free >= need.state + need.frames) return;
  const [has, wanted] = [formatByteSize(free), formatByteSize(need.state + need.frames)];
  if (free < need.state) {
    throw new CliError(
      EXIT.cannotCreate,
      `Cannot write to folder "${escapeName(folder)}": ${has} are free, up to ${wanted} are needed. ` +
        "Make room, or choose another folder with --output",
    );
  }
  const message = `the disk may get full: ${has} are free, up to ${wanted} are needed`;
  reporter.report({ event: "warning", message });
}

/** Bytes that may still be written to the disk of `folder`; null where Deno may not look. */
export async function freeBytes(folder: string): Promise<number | null> {
  const { state } = await Deno.permissions.query({ name: "sys", kind: "statfs" });
  if (state !== "granted") return null;
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
