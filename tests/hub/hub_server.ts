import { createHash } from "node:crypto";

/** What the server was asked. */
export interface HubRequest {
  readonly path: string;
  readonly range: string | null;
  readonly authorization: string | null;
}

/** Answers a request instead of the server; null lets the server answer. */
export type Answer = (request: HubRequest, index: number) => Response | Promise<Response> | null;

/** The commit that every revision of every model leads to. */
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** A hub with one model on a port of this machine. Files of more than 100 bytes are in large file storage. */
export class HubServer implements AsyncDisposable {
  readonly requests: HubRequest[] = [];
  readonly files: Map<string, Uint8Array<ArrayBuffer>>;
  /** What goes wrong; called first for each request. */
  answer: Answer = () => null;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(files: Iterable<readonly [name: string, bytes: Uint8Array<ArrayBuffer>]>) {
    this.files = new Map(files);
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      (request) => this.#serve(request),
    );
  }

  get endpoint(): URL {
    return new URL(`http://127.0.0.1:${this.#server.addr.port}`);
  }

  /** Paths of the files that were asked for. */
  get fileRequests(): HubRequest[] {
    return this.requests.filter(({ path }) => path.includes("/resolve/"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #serve(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const [range, authorization] = [request.headers.get("range"), request.headers.get("authorization")];
    const asked = { path: pathname, range, authorization };
    this.requests.push(asked);
    const answer = await this.answer(asked, this.requests.length - 1);
    if (answer) return answer;
    if (pathname.startsWith("/api/models/")) return Response.json(this.listing());
    const name = decodeURIComponent(pathname.split(`/resolve/${COMMIT}/`)[1] ?? "");
    const bytes = this.files.get(name);
    if (bytes === undefined) return new Response("no such file", { status: 404 });
    return part(bytes, range);
  }

  /** What the server says it has. */
  listing() {
    return {
      sha: COMMIT,
      siblings: [...this.files].map(([rfilename, bytes]) => ({
        rfilename,
        size: bytes.length,
        blobId: gitDigest(bytes),
        ...bytes.length > 100 ? { lfs: { sha256: sha256(bytes), size: bytes.length, pointerSize: 130 } } : {},
      })),
    };
  }
}

/** All of `bytes`, or the part from the beginning of a range on. */
export function part(bytes: Uint8Array<ArrayBuffer>, range: string | null): Response {
  const begin = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? -1);
  if (begin < 0) return new Response(bytes);
  const headers = { "content-range": `bytes ${begin}-${bytes.length - 1}/${bytes.length}` };
  return new Response(bytes.slice(begin), { status: 206, headers });
}

/** The first `count` of the bytes asked for, after which the connection breaks. */
export function broken(bytes: Uint8Array<ArrayBuffer>, range: string | null, count: number): Response {
  const begin = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  let sent = false;
  const body = new ReadableStream({
    async pull(controller) {
      if (sent) {
        await new Promise((resolve) => setTimeout(resolve, 50)); // the bytes must be on their way before
        return controller.error(new Error("broken on purpose"));
      }
      sent = true;
      controller.enqueue(bytes.slice(begin, begin + count));
    },
  });
  if (range === null) return new Response(body);
  const headers = { "content-range": `bytes ${begin}-${bytes.length - 1}/${bytes.length}` };
  return new Response(body, { status: 206, headers });
}

/** Bytes that differ from one another, the same ones for the same seed. */
export function someBytes(length: number, seed: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed) & 255);
}

/** Hexadecimal SHA-256. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What Git calls a blob of these bytes. */
export function gitDigest(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}
