import { basename, join, parse } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { compareNatural } from "./compare_natural.ts";
import type { Frame, PictureFormat, PictureHeader } from "./frame.ts";
import { decodePicture, MAGIC_LENGTH, readPictureHeader, sniffFormat } from "./picture.ts";
import { readRegularFile } from "./read_regular_file.ts";

const PICTURE_EXTENSION = /\.(png|jpe?g|webp)$/i;
/** Covers the header of nearly every file; only metadata before it (colour profiles, previews) can be longer. */
const HEAD_BYTES = 64 * 1024;
/** Longest stem, in bytes of UTF-8; file systems take names of 255, and the temporary names of outputs are longer. */
const MAX_STEM_BYTES = 220;
/** Problems that an error's message spells out; a folder of the wrong kind may have one per file. */
const MAX_LISTED_PROBLEMS = 100;

/** One input frame on disk. */
export interface FrameFile {
  readonly path: string;
  /** File name without folder and extension; names the output. */
  readonly stem: string;
  /** What the content is, whatever the extension; undefined if it cannot be read, for which `inspectFrames` says why. */
  readonly format: PictureFormat | undefined;
}

/** Frames in playing order. */
export interface FrameList {
  readonly files: readonly FrameFile[];
  /** Number of folder entries that are hidden or have no picture extension. */
  readonly ignored: number;
}

/** What all frames of a clip have in common. */
export interface FrameSummary {
  readonly width: number;
  readonly height: number;
  /** Bits per sample, by frame. */
  readonly bitDepths: readonly (8 | 16)[];
  /** Number of frames whose transparency, if there is any, gets lost. */
  readonly alphaDropped: number;
}

/**
 * Input that cannot be used. `code` is "no_input" if the path does not exist or has no frames, else "bad_input";
 * `problems` holds one sentence per problem, with all file names escaped for printing; the message has the first 100.
 */
export class FrameFolderError extends Error {
  override readonly name = "FrameFolderError";
  readonly code: "no_input" | "bad_input";
  readonly problems: readonly string[];

  constructor(code: "no_input" | "bad_input", problems: readonly string[], options?: ErrorOptions) {
    const remedy = code === "no_input"
      ? "Give a picture or a folder with .png, .jpg, .jpeg or .webp files"
      : "Repair, rename or remove what is named above";
    const more = problems.length - MAX_LISTED_PROBLEMS;
    const listed = problems.slice(0, MAX_LISTED_PROBLEMS);
    if (more > 0) listed.push(`and ${more} more of the like`);
    super([...listed, remedy].join("\n"), options);
    this.code = code;
    this.problems = problems;
  }
}

/**
 * Lists the frames of a folder in natural order (frame_2 before frame_10), or the one picture at `path`. Only names and
 * the first bytes are looked at. Throws FrameFolderError if there is nothing.
 */
export async function listFrames(path: string): Promise<FrameList> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    const code = error instanceof Deno.errors.NotFound ? "no_input" : "bad_input";
    throw new FrameFolderError(code, [describeProblem(path, error)], { cause: error });
  }
  if (!info.isDirectory) return { files: [frameFile(path)], ignored: 0 };

  const names: string[] = [];
  let ignored = 0;
  try {
    for await (const { name } of Deno.readDir(path)) {
      if (PICTURE_EXTENSION.test(name) && !name.startsWith(".")) names.push(name);
      else ignored++;
    }
  } catch (error) {
    throw new FrameFolderError("bad_input", [describeProblem(path, error)], { cause: error });
  }
  if (names.length === 0) {
    const reason = `folder has no pictures and ${ignored} other entries`;
    throw new FrameFolderError("no_input", [`Cannot read frames from "${escapeName(path)}": ${reason}`]);
  }
  names.sort(compareNatural);
  return { files: names.map((name) => frameFile(join(path, name))), ignored };
}

/**
 * Reads the header of every frame before any work starts. Throws one FrameFolderError with all problems: files that
 * cannot be read or are no pictures, sizes that differ, and names that outputs cannot have or that would be written to
 * the same output file.
 */
export function inspectFrames(files: readonly FrameFile[]): FrameSummary {
  if (files.length === 0) {
    throw new FrameFolderError("no_input", ["Cannot inspect frames: got 0, wanted at least 1"]);
  }
  const problems: string[] = [];
  const headers = new Map<FrameFile, PictureHeader>();
  for (const file of files) {
    try {
      headers.set(file, readHeader(file.path));
    } catch (error) {
      problems.push(describeProblem(file.path, error));
    }
  }
  const allProblems = [
    ...problems,
    ...findMixedSizes(headers),
    ...findLongNames(files),
    ...findCollisions(files),
  ];
  if (allProblems.length > 0) throw new FrameFolderError("bad_input", allProblems);
  const all = [...headers.values()];
  const { width, height } = all[0]!;
  return {
    width,
    height,
    bitDepths: all.map((header) => header.bitDepth),
    alphaDropped: all.filter((header) => header.alphaDropped).length,
  };
}

/** Decodes one frame. Throws FrameFolderError. */
export async function readFrame(file: FrameFile): Promise<Frame> {
  try {
    return await decodePicture(readRegularFile(file.path), file.path);
  } catch (error) {
    throw new FrameFolderError("bad_input", [describeProblem(file.path, error)], { cause: error });
  }
}

function frameFile(path: string): FrameFile {
  let format: PictureFormat | undefined;
  try {
    format = sniffFormat(readRegularFile(path, MAGIC_LENGTH));
  } catch {
    format = undefined;
  }
  return { path, stem: parse(path).name, format };
}

function readHeader(path: string): PictureHeader {
  const head = readRegularFile(path, HEAD_BYTES);
  try {
    return readPictureHeader(head, path);
  } catch (error) {
    if (head.length < HEAD_BYTES || sniffFormat(head) === undefined) throw error;
  }
  return readPictureHeader(readRegularFile(path), path);
}

function describeProblem(path: string, error: unknown): string {
  // A pictureError, which names the file already.
  if (error instanceof SyntaxError) return error.message;
  const action = `Cannot read "${escapeName(path)}"`;
  if (error instanceof Deno.errors.NotFound) {
    // Deno lists a name that is no UTF-8 with this character in place of the odd bytes, and then cannot find it.
    if (path.includes("\ufffd")) return `${action}: its name is not valid UTF-8`;
    return `${action}: it does not exist or is a link to nothing`;
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return `${action}: permission to read it is missing`;
  }
  return `${action}: ${escapeName(error instanceof Error ? error.message : String(error))}`;
}

/** One problem per frame that differs from the most frequent size. */
function findMixedSizes(headers: ReadonlyMap<FrameFile, PictureHeader>): string[] {
  const counts = new Map<string, number>();
  for (const header of headers.values()) counts.set(sizeOf(header), (counts.get(sizeOf(header)) ?? 0) + 1);
  const [usual, count] = [...counts].sort(([, a], [, b]) => b - a)[0] ?? [];
  const wanted = `wanted ${usual} as in ${count} of ${headers.size} frames`;
  return [...headers].filter(([, header]) => sizeOf(header) !== usual).map(([file, header]) =>
    `Cannot use "${escapeName(file.path)}": size is ${sizeOf(header)}, ${wanted}`
  );
}

function sizeOf(header: PictureHeader): string {
  return `${header.width} x ${header.height}`;
}

function findLongNames(files: readonly FrameFile[]): string[] {
  const sized = files.map(({ path, stem }) => ({ path, byteLength: new TextEncoder().encode(stem).length }));
  return sized.filter(({ byteLength }) => byteLength > MAX_STEM_BYTES).map(({ path, byteLength }) =>
    `Cannot use "${
      escapeName(path)
    }": its name without extension has ${byteLength} bytes, wanted at most ${MAX_STEM_BYTES}`
  );
}

/** Case and Unicode composition are ignored, since the output may lie on a file system that ignores them. */
function findCollisions(files: readonly FrameFile[]): string[] {
  const problems: string[] = [];
  const owners = new Map<string, FrameFile>();
  for (const file of files) {
    const key = file.stem.normalize("NFC").toLowerCase();
    const owner = owners.get(key);
    if (owner === undefined) {
      owners.set(key, file);
    } else {
      const other = escapeName(basename(owner.path));
      problems.push(`Cannot use "${escapeName(file.path)}": its output would replace that of "${other}"`);
    }
  }
  return problems;
}
