import * as v from "valibot";
import { escapeName } from "../text/escape_name.ts";
import { COMMIT } from "./cache.ts";
import type { HubFile } from "./choose_files.ts";
import { HubError } from "./errors.ts";

/** The hub that is asked unless told otherwise. */
export const DEFAULT_ENDPOINT = "https://huggingface.co";

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const MAX_REDIRECTS = 5;
/** A server that sends nothing for so long has gone. */
const STALL_MS = 60_000;
/** 100,000 files take about 20 MB. */
const MAX_LISTING_BYTES = 32 * 2 ** 20;

/** Where the hub is and who asks. */
export interface HubClientOptions {
  /** An http or https address, which may have a path. */
  readonly endpoint: URL;
  /** Sent to the endpoint and to nobody else. */
  readonly token?: string | undefined;
  /** Longest silence of a server in milliseconds. Default 60,000. */
  readonly stallMs?: number | undefined;
}

/** A model's files at one commit. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/** What a file's bytes come with. */
export interface FileAnswer extends AsyncDisposable {
  /** 200 for the whole file, 206 for the part that was asked for, 416 if there is no such part. */
  readonly status: number;
  readonly headers: Headers;
  /** The bytes as they come. Throws `HubError` (busy) if they stop coming. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

const FILE = v.object({
  rfilename: v.string(),
  size: v.nullish(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  blobId: v.nullish(v.pipe(v.string(), v.regex(COMMIT))),
  lfs: v.nullish(v.object({ sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) })),
});
const LISTING = v.object({ sha: v.pipe(v.string(), v.regex(COMMIT)), siblings: v.array(FILE) });

/** Asks a hub for listings and files; each call is one try. */
export class HubClient {
  readonly #endpoint: URL;
  readonly #token: string | undefined;
  readonly #stallMs: number;

  constructor({ endpoint, token, stallMs = STALL_MS }: HubClientOptions) {
    this.#endpoint = endpoint;
    this.#token = token;
    this.#stallMs = stallMs;
  }

  /**
   * The files of model `repo` at `revision`. Throws `HubError`: refused, missing, busy, or corrupt where the answer is
   * malformed or has a name that leads out of the model's folder.
   */
  async list(
    repo: string,
    { revision, signal }: { readonly revision: string; readonly signal: AbortSignal },
  ): Promise<Listing> {
    const what = `"${repo}" at revision "${revision}"`;
    const path = `api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
    await using answer = await this.#get(path, { what, headers: {}, signal });
    if (answer.status !== 200) throw malformed(what, `status ${answer.status}`);
    const parsed = v.safeParse(LISTING, parseJson(await readText(answer.chunks, what), what));
    if (!parsed.success) {
      const [{ message, path: at }] = parsed.issues;
      throw malformed(what, `${at?.map(({ key }) => String(key)).join(".") ?? "all of it"}: ${message}`);
    }
    const { sha, siblings } = parsed.output;
    return { commit: sha, files: siblings.map((sibling) => toHubFile(sibling, what)) };
  }

  /**
   * Asks for `file` of `repo` from byte `begin` on. Throws `HubError`: refused, missing, busy, or corrupt where the
   * answer makes no sense.
   */
  open(
    repo: string,
    { commit, file, begin, signal }: {
      readonly commit: string;
      readonly file: HubFile;
      readonly begin: number;
      readonly signal: AbortSignal;
    },
  ): Promise<FileAnswer> {
    const name = file.name.split("/").map(encodeURIComponent).join("/");
    // Compressed bytes would neither have the announced length nor continue at `begin`.
    const headers = { "accept-encoding": "identity", ...begin > 0 ? { range: `bytes=${begin}-` } : {} };
    const what = `"${file.name}" of "${repo}"`;
    return this.#get(`${repo}/resolve/${commit}/${name}`, { what, headers, signal });
  }

  async #get(
    path: string,
    { what, headers, signal }: {
      readonly what: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly signal: AbortSignal;
    },
  ): Promise<FileAnswer> {
    let url = new URL(path, this.#endpoint.href.replace(/\/*$/, "/"));
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const isHub = url.origin === this.#endpoint.origin;
      const token = isHub && this.#token !== undefined ? { authorization: `Bearer ${this.#token}` } : {};
      const watch = new Watch(this.#stallMs, signal);
      let response: Response;
      try {
        const init = { headers: { ...headers, ...token }, redirect: "manual", signal: watch.signal } as const;
        response = await fetch(url, init);
      } catch (error) {
        throw watch.explain(error, `Cannot fetch ${what} from ${url.host}`);
      } finally {
        watch.stop();
      }
      if (!REDIRECTS.includes(response.status)) {
        await checkStatus(response, { what, hasToken: this.#token !== undefined });
        return {
          status: response.status,
          headers: response.headers,
          chunks: readChunks(response, { watch, what: `Cannot go on with ${what} from ${url.host}` }),
          [Symbol.asyncDispose]: () => dropBody(response),
        };
      }
      await dropBody(response);
      url = redirectTarget(url, { location: response.headers.get("location"), what });
    }
    throw malformed(what, `more than ${MAX_REDIRECTS} redirects`);
  }
}

/** Aborts what waits too long, and when `outer` aborts. */
class Watch {
  readonly signal: AbortSignal;
  readonly #stall = new AbortController();
  readonly #ms: number;
  readonly #outer: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number, outer: AbortSignal) {
    this.#ms = ms;
    this.#outer = outer;
    this.signal = AbortSignal.any([this.#stall.signal, outer]);
    this.touch();
  }

  /** Starts waiting anew. */
  touch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stall.abort(), this.#ms);
  }

  /** Ends the wait. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** The error to throw for what a request threw: of broken connections a `HubError` (busy). */
  explain(error: unknown, what: string): unknown {
    if (this.#outer.aborted) return this.#outer.reason;
    if (this.#stall.signal.aborted) {
      return new HubError("busy", `${what}: nothing came for ${this.#ms / 1000} s`, { cause: error });
    }
    if (!(error instanceof TypeError)) return error;
    const { message } = error.cause instanceof Error ? error.cause : error;
    // Addresses of files hold signatures that stand for a password.
    const reason = escapeName(message.replaceAll(/ ?(?:for url )?\(?https?:\/\/[^\s)]*\)?/g, ""));
    return new HubError("busy", `${what}: ${reason}`, { cause: error });
  }
}

async function* readChunks(
  response: Response,
  { watch, what }: { readonly watch: Watch; readonly what: string },
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  try {
    while (reader) {
      watch.touch();
      const { done, value } = await reader.read().catch((error) => {
        throw watch.explain(error, what);
      }).finally(() => watch.stop());
      if (done) return;
      yield value;
    }
  } finally {
    await reader?.cancel().catch(ignore);
    reader?.releaseLock();
  }
}

/** Ends a connection whose bytes are not wanted. It may be broken already. */
async function dropBody(response: Response): Promise<void> {
  await response.body?.cancel().catch(ignore);
}

function ignore(): void {}

function redirectTarget(
  from: URL,
  { location, what }: { readonly location: string | null; readonly what: string },
): URL {
  const to = location === null ? null : URL.parse(location, from);
  if (to === null) throw malformed(what, "a redirect without an address");
  const isSafe = to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:");
  if (!isSafe || to.username !== "" || to.password !== "") {
    throw malformed(what, `a redirect to ${to.protocol}//${to.host}, wanted https without a password`);
  }
  return to;
}

/** Throws `HubError` for statuses that bring no bytes, after dropping the body. */
async function checkStatus(
  response: Response,
  { what, hasToken }: { readonly what: string; readonly hasToken: boolean },
): Promise<void> {
  const { status, headers } = response;
  if (status === 200 || status === 206 || status === 416) return;
  await dropBody(response);
  if (status === 401 || status === 403) {
    throw new HubError(
      "refused",
      `Cannot fetch ${what}: the hub refuses access (${status}): the model does not exist, is private, or has terms ` +
        `to be accepted. Check the name, accept its terms on its page, and ` +
        (hasToken ? "use an HF_TOKEN that may read it" : "set HF_TOKEN to a token that may read it"),
    );
  }
  if (status === 404) {
    throw new HubError(
      "missing",
      `Cannot fetch ${what}: the hub has no such thing (404). Check the name, and the revision with --revision`,
    );
  }
  if (status === 429 || status === 408 || status >= 500) {
    const reason = status === 429 ? "too many requests (429)" : `the server fails (${status})`;
    throw new HubError("busy", `Cannot fetch ${what}: ${reason}`, {
      retryAfterMs: retryAfterMs(headers.get("retry-after")),
    });
  }
  throw malformed(what, `status ${status}`);
}

/** Retry-After is a number of seconds or a date. */
function retryAfterMs(value: string | null): number | null {
  if (value === null) return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

async function readText(chunks: AsyncIterable<Uint8Array>, what: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "", byteLength = 0;
  for await (const chunk of chunks) {
    byteLength += chunk.length;
    if (byteLength > MAX_LISTING_BYTES) throw malformed(what, `more than ${MAX_LISTING_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed(what, "no JSON");
  }
}

function toHubFile(
  { rfilename: name, size, blobId, lfs }: v.InferOutput<typeof FILE>,
  what: string,
): HubFile {
  // Every part must be a plain name: not empty, as in absolute paths, not "." or "..", no drive, no backslash.
  if (!name.split("/").every((part) => /^(?!\.{1,2}$)[^\\:\p{C}]{1,255}$/u.test(part))) {
    throw malformed(what, `a file named ${JSON.stringify(escapeName(name).slice(0, 200))}`);
  }
  const digest = lfs?.sha256 ?? blobId;
  if (typeof size !== "number" || typeof digest !== "string") {
    throw malformed(what, `no size or no digest of "${escapeName(name)}"`);
  }
  return { name, byteLength: size, digest, algorithm: lfs ? "sha256" : "git-sha1" };
}

function malformed(what: string, found: string): HubError {
  return new HubError(
    "corrupt",
    `Cannot fetch ${what}: the server answers with ${escapeName(found)}; try again, or check HF_ENDPOINT`,
  );
}
