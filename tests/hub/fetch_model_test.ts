import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HubClient } from "../../src/hub/client.ts";
import { HubError, type HubProblem } from "../../src/hub/errors.ts";
import { fetchModel, type FetchPlan, planFetch } from "../../src/hub/fetch_model.ts";
import { linkSnapshot } from "../../src/hub/link_snapshot.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { broken, COMMIT, gitDigest, HubServer, part, sha256, someBytes } from "./hub_server.ts";

const INDEX = new TextEncoder().encode('{"_class_name":"Some"}');
const CONFIG = new TextEncoder().encode("{}");
const WEIGHTS = someBytes(300_000, 1), VAE = someBytes(150, 2);
const UNET = "unet/diffusion_pytorch_model.safetensors";
const FILES: readonly (readonly [string, Uint8Array<ArrayBuffer>])[] = [
  ["README.md", someBytes(50, 3)],
  ["model_index.json", INDEX],
  ["unet/config.json", CONFIG],
  [UNET, WEIGHTS],
  ["unet/diffusion_pytorch_model.bin", someBytes(500, 4)],
  ["vae/config.json", CONFIG],
  ["vae/diffusion_pytorch_model.safetensors", VAE],
];
const WANTED = FILES.filter(([name]) => /^(model|unet\/c|vae)|\.safetensors$/.test(name));
const WEIGHTS_PATH = `/owner/name/resolve/${COMMIT}/${UNET}`;

Deno.test("fetchModel() makes the hub's cache layout, and fetches nothing a second time", () =>
  withServer(async ({ server, entry, run, warnings }) => {
    const progress: number[] = [];
    const { plan, path } = await run({ onProgress: (bytes) => progress.push(bytes) });
    strictEqual(path, join(entry, "snapshots", COMMIT));
    strictEqual(plan.missingBytes, plan.totalBytes);
    await checkComplete(entry);
    deepStrictEqual(
      await names(join(entry, "blobs")),
      [gitDigest(INDEX), gitDigest(CONFIG), sha256(WEIGHTS), sha256(VAE)].sort(),
    );
    strictEqual(await Deno.readLink(join(path, UNET)), `../../../blobs/${sha256(WEIGHTS)}`);
    strictEqual(await Deno.readLink(join(path, "model_index.json")), `../../blobs/${gitDigest(INDEX)}`);
    strictEqual(await Deno.readTextFile(join(entry, "refs", "main")), COMMIT);
    strictEqual(progress.at(-1), plan.totalBytes);
    strictEqual(server.fileRequests.length, 4); // two of the five files are the same

    server.requests.length = 0;
    const again = await run();
    strictEqual(again.plan.missingBytes, 0);
    strictEqual(again.path, path);
    strictEqual(server.fileRequests.length, 0);
    deepStrictEqual(warnings, []);
  }));

Deno.test("fetchModel() keeps another revision's name, and none of a commit", () =>
  withServer(async ({ entry, run }) => {
    await run({ revision: "refs/pr/1" });
    await run({ revision: COMMIT });
    deepStrictEqual(await names(join(entry, "refs")), ["refs"]);
    strictEqual(await Deno.readTextFile(join(entry, "refs", "refs", "pr", "1")), COMMIT);
  }));

Deno.test("fetchModel() goes on where a connection broke, with the same bytes", () =>
  withServer(async ({ server, entry, run, warnings }) => {
    let breaks = 0;
    server.answer = ({ path, range }) =>
      path === WEIGHTS_PATH && breaks++ < 7 ? broken(WEIGHTS, range, 40_000) : null;
    await run();
    await checkComplete(entry);
    strictEqual(breaks, 8); // more than the five failures that are borne without progress
    const ranges = server.requests.filter(({ path }) => path === WEIGHTS_PATH).map(({ range }) => range);
    deepStrictEqual(ranges, [null, ...[1, 2, 3, 4, 5, 6, 7].map((i) => `bytes=${40_000 * i}-`)]);
    strictEqual(warnings.length, 7);
  }));

Deno.test("fetchModel() goes on with what an earlier run left, and starts over where that is wrong", () =>
  withServer(async ({ server, entry, run }) => {
    const incomplete = join(entry, "blobs", `${sha256(WEIGHTS)}.incomplete`);
    const cases: [left: Uint8Array, missing: number, ranges: (string | null)[]][] = [
      [WEIGHTS.slice(0, 1000), 299_000, ["bytes=1000-"]],
      [WEIGHTS, 0, []],
      [someBytes(1000, 9), 299_000, ["bytes=1000-", null]],
      [new Uint8Array(300_001), 300_000, [null]],
    ];
    for (const [left, missing, ranges] of cases) {
      await run();
      await Deno.writeFile(incomplete, left);
      await Deno.remove(join(entry, "blobs", sha256(WEIGHTS)));
      server.requests.length = 0;
      const { plan } = await run();
      strictEqual(plan.missingBytes, missing);
      deepStrictEqual(server.fileRequests.map(({ range }) => range), ranges);
      await checkComplete(entry);
    }
  }));

Deno.test("fetchModel() starts over where a server knows no ranges, and gives up where that does not help", () =>
  withServer(async ({ server, entry, run }) => {
    let asked = 0;
    server.answer = ({ path }) => {
      if (path !== WEIGHTS_PATH) return null;
      return asked++ < 2 ? broken(WEIGHTS, null, 10_000) : part(WEIGHTS, null);
    };
    await run();
    await checkComplete(entry);

    await Deno.remove(join(entry, "blobs", sha256(WEIGHTS)));
    server.answer = ({ path }) => path === WEIGHTS_PATH ? (asked++, broken(WEIGHTS, null, 10_000)) : null;
    asked = 0;
    await fails(
      run(),
      "busy",
      /^Cannot go on with "unet\/diffusion_pytorch_model\.safetensors" of "owner\/name"/,
    );
    strictEqual(asked, 5);
  }));

Deno.test("fetchModel() refuses lengths that are not the listing's, and bytes that are not the digest's", () =>
  withServer(async ({ server, entry, run }) => {
    const wrong = WEIGHTS.slice();
    wrong[200_000]! ^= 1;
    const longer = new Uint8Array([...WEIGHTS, 0]);
    const cases: [answer: Response, message: RegExp][] = [
      [new Response(wrong), /its bytes do not have the digest [0-9a-f]{64};/],
      [new Response(longer), /announces 300001 bytes, the listing 300000;/],
      [new Response(WEIGHTS.slice(1)), /announces 299999 bytes, the listing 300000;/],
      [new Response(stream(longer)), /more bytes than announced come;/],
      [part(longer, "bytes=0-"), /announces "bytes 0-300000\/300001", wanted "bytes 0-299999\/300000";/],
    ];
    for (const [answer, message] of cases) {
      server.answer = ({ path }) => path === WEIGHTS_PATH ? answer.clone() : null;
      await fails(run(), "corrupt", message);
      const blobs = await names(join(entry, "blobs"));
      ok(!blobs.includes(sha256(WEIGHTS)), `${blobs}`);
      deepStrictEqual(await names(entry), ["blobs"], "neither refs nor snapshots");
      const incomplete = blobs.filter((name) => name.endsWith(".incomplete"));
      strictEqual(incomplete.length, message.source.includes("digest") ? 0 : 1);
      for (const name of incomplete) await Deno.remove(join(entry, "blobs", name));
    }
    let asked = 0;
    server.answer = ({ path }) => path === WEIGHTS_PATH && asked++ === 0 ? new Response(wrong) : null;
    await run();
    strictEqual(asked, 2);
    await checkComplete(entry);
  }));

Deno.test("planFetch() refuses names that lead out of the folder, and listings that are none", () =>
  withServer(async ({ server, entry, run }) => {
    const { siblings } = server.listing();
    const listings: [listing: unknown, message: RegExp][] = [];
    for (
      const rfilename of [
        "../evil",
        "unet/../../evil",
        "/etc/passwd",
        "a//b",
        "a\\b",
        "C:evil",
        "a/.",
        "a\u0000b",
      ]
    ) {
      listings.push([
        { sha: COMMIT, siblings: [...siblings, { ...siblings[0], rfilename }] },
        /a file named "/,
      ]);
    }
    listings.push(
      [[], /answers with/],
      [{ sha: "../../evil", siblings }, /answers with sha:/],
      [{ sha: COMMIT, siblings: [{ ...siblings[0], size: -1 }] }, /answers with siblings\.0\.size:/],
      [
        { sha: COMMIT, siblings: [{ ...siblings[0], size: undefined }] },
        /no size or no digest of "README\.md"/,
      ],
      [
        { sha: COMMIT, siblings: [{ ...siblings[0], lfs: { sha256: "../../evil" } }] },
        /siblings\.0\.lfs\.sha256:/,
      ],
    );
    for (const [listing, message] of listings) {
      server.answer = () => Response.json(listing);
      await fails(run(), "corrupt", message);
    }
    server.answer = () => new Response("{", { headers: { "content-type": "application/json" } });
    await fails(run(), "corrupt", /answers with no JSON/);
    await rejects(Deno.stat(entry), Deno.errors.NotFound);
  }));

Deno.test("fetchModel() waits as long as a busy server asks, and bears five failures in a row", () =>
  withServer(async ({ server, entry, run, warnings }) => {
    const busy = [429, 503, 500, 408].map((status) =>
      new Response("", { status, headers: { "retry-after": "0" } })
    );
    server.answer = (_, index) => busy[index] ?? null;
    await run();
    await checkComplete(entry);
    deepStrictEqual(warnings.map((warning) => warning.replace(/^.*: /, "")), [
      "too many requests (429)",
      "the server fails (503)",
      "the server fails (500)",
      "the server fails (408)",
    ]);
    server.requests.length = 0;
    server.answer = () => new Response("", { status: 500 });
    await fails(run(), "busy", /: the server fails \(500\); run the same command again later$/);
    strictEqual(server.requests.length, 5);
    server.requests.length = 0;
    server.answer = () => new Response("", { status: 429, headers: { "retry-after": "3600" } });
    await fails(run(), "busy", /: too many requests \(429\); run the same command again in 3600 s$/);
    strictEqual(server.requests.length, 1);
  }));

Deno.test("fetchModel() says what to do about a model that is missing or closed", () =>
  withServer(async ({ server, entry, run }) => {
    const cases: [status: number, problem: HubProblem, message: RegExp][] = [
      [401, "refused", /refuses access \(401\).*set HF_TOKEN to a token that may read it$/],
      [403, "refused", /refuses access \(403\).*accept its terms on its page/],
      [404, "missing", /Cannot fetch "owner\/name" at revision "main": the hub has no such thing \(404\)/],
      [418, "corrupt", /answers with status 418;/],
    ];
    for (const [status, problem, message] of cases) {
      server.requests.length = 0;
      server.answer = () => new Response("", { status });
      await fails(run(), problem, message);
      strictEqual(server.requests.length, 1, "not tried again");
    }
    await rejects(Deno.stat(entry), Deno.errors.NotFound);
  }));

Deno.test("fetchModel() follows redirects, and sends the token to the hub alone", () =>
  withServer(async ({ server, entry, run }) => {
    await using storage = new HubServer(FILES);
    server.answer = ({ path }) =>
      path.includes("/resolve/") ? Response.redirect(new URL(path, storage.endpoint), 302) : null;
    await run({ token: "hf_secret" });
    await checkComplete(entry);
    ok(server.requests.every(({ authorization }) => authorization === "Bearer hf_secret"));
    strictEqual(storage.requests.length, 4);
    deepStrictEqual(storage.requests.filter(({ authorization }) => authorization !== null), []);
  }));

Deno.test("fetchModel() follows five redirects and no more, and none to where it must not go", () =>
  withServer(async ({ server, run }) => {
    let hops = 0;
    server.answer = ({ path }) => {
      if (!path.startsWith("/api/") || ++hops > 5) return null;
      return new Response(null, { status: 307, headers: { location: path } });
    };
    await run();
    strictEqual(hops, 6);
    const cases: [location: string | null, message: RegExp][] = [
      ["/api/again", /more than 5 redirects/],
      [null, /a redirect without an address/],
      ["file:///etc/passwd", /a redirect to file:/],
      [
        "http://user:password@127.0.0.1/",
        /a redirect to http:\/\/127\.0\.0\.1, wanted https without a password/,
      ],
    ];
    for (const [location, message] of cases) {
      server.answer = () =>
        new Response(null, { status: 302, headers: location === null ? {} : { location } });
      await fails(run(), "corrupt", message);
    }
  }));

Deno.test("fetchModel() takes silence and a closed port for a server that is busy, and keeps addresses to itself", () =>
  withServer(async ({ server, run }) => {
    let silent = 0;
    const end = Promise.withResolvers<Response>();
    server.answer = ({ path }) => path === WEIGHTS_PATH && silent++ < 1 ? end.promise : null;
    const warnings: string[] = [];
    await run({ stallMs: 300, onRetry: (message) => warnings.push(message) });
    end.resolve(new Response(""));
    strictEqual(warnings.length, 1);
    ok(/: nothing came for 0\.3 s$/.test(warnings[0]!), warnings[0]);

    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    await fails(
      run({ endpoint: new URL(`http://127.0.0.1:${port}/secret`) }),
      "busy",
      /^(?!.*secret).*refused/i,
    );
  }));

Deno.test("fetchModel() ends with the signal's reason, and the next run goes on", () =>
  withServer(async ({ server, entry, run }) => {
    const stop = new AbortController(), reason = new Error("stopped");
    let first = true;
    server.answer = ({ path, range }) => {
      if (path !== WEIGHTS_PATH || !first) return null;
      first = false;
      const body = new ReadableStream({
        start: (controller) => controller.enqueue(part(WEIGHTS, range) && WEIGHTS.slice(0, 5000)),
      });
      return new Response(body);
    };
    const done = run({
      signal: stop.signal,
      onProgress(bytes) {
        if (bytes > 5000) stop.abort(reason);
      },
    });
    await rejects(done, (error) => error === reason);
    await run();
    strictEqual(server.fileRequests.at(-2)?.range, "bytes=5000-");
    await checkComplete(entry);
  }));

Deno.test("fetchModel() leaves a file alone that another run downloads", () =>
  withServer(async ({ entry, run }) => {
    await run();
    await Deno.remove(join(entry, "blobs", sha256(WEIGHTS)));
    using other = await Deno.create(join(entry, "blobs", `${sha256(WEIGHTS)}.incomplete`));
    await other.lock(true);
    await fails(run(), "busy", /another run does so; wait for it to end$/);
    await other.unlock();
    await run();
    await checkComplete(entry);
  }));

Deno.test("linkSnapshot() keeps right links, replaces others, and refuses names that lead elsewhere", () =>
  withServer(async ({ entry, run }) => {
    const { path } = await run();
    const link = join(path, UNET), { ino } = await Deno.lstat(link);
    await run();
    strictEqual((await Deno.lstat(link)).ino, ino);
    await Deno.remove(link);
    await Deno.symlink("/etc/passwd", link);
    await run();
    await checkComplete(entry);
    for (const name of ["../x", "a/../../x", "/x", ".x", ""]) {
      const files = [{ name, digest: sha256(WEIGHTS) }];
      await rejects(linkSnapshot({ entry, commit: COMMIT, files }), RangeError);
    }
  }));

Deno.test({
  name: "linkSnapshot() copies where no links can be made, and keeps the copies",
  // Deno makes no links for programs that may not write everywhere.
  permissions: { read: true, write: [tmpdir()], net: ["127.0.0.1"] },
  fn: () =>
    withServer(async ({ entry, run }) => {
      const { path } = await run();
      const { isFile, ino } = await Deno.lstat(join(path, UNET));
      strictEqual(isFile, true);
      await checkComplete(entry);
      await run();
      strictEqual((await Deno.lstat(join(path, UNET))).ino, ino);
      deepStrictEqual(await names(join(path, "unet")), [
        "config.json",
        "diffusion_pytorch_model.safetensors",
      ]);
    }),
});

/** What a test of `withServer` may change. */
interface RunOptions {
  readonly revision?: string;
  readonly token?: string;
  readonly endpoint?: URL;
  readonly stallMs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytes: number) => void;
  readonly onRetry?: (message: string) => void;
}

/** Runs a test with a hub, a cache entry that is not there yet, and a function that fetches the model. */
function withServer(
  test: (context: {
    readonly server: HubServer;
    readonly entry: string;
    readonly warnings: string[];
    readonly run: (options?: RunOptions) => Promise<{ plan: FetchPlan; path: string }>;
  }) => Promise<void>,
): Promise<void> {
  return withTempDir(async (dir) => {
    await using server = new HubServer(FILES);
    const entry = join(dir, "hub", "models--owner--name"), warnings: string[] = [];
    async function run(options: RunOptions = {}): Promise<{ plan: FetchPlan; path: string }> {
      const { revision = "main", signal = new AbortController().signal, onProgress = () => {} } = options;
      const onRetry = options.onRetry ?? ((message: string) => warnings.push(message));
      const client = new HubClient({ endpoint: server.endpoint, ...options });
      const plan = await planFetch(client, {
        repo: "owner/name",
        revision,
        entry,
        signal,
        onRetry,
        firstDelayMs: 1,
      });
      return { plan, path: await fetchModel(client, { ...plan, link: linkSnapshot, onProgress }) };
    }
    await test({ server, entry, warnings, run });
  });
}

async function checkComplete(entry: string): Promise<void> {
  for (const [name, bytes] of WANTED) {
    deepStrictEqual(await Deno.readFile(join(entry, "snapshots", COMMIT, name)), bytes, name);
  }
  const blobs = await names(join(entry, "blobs"));
  deepStrictEqual(blobs.filter((name) => name.endsWith(".incomplete")), []);
}

async function fails(promise: Promise<unknown>, problem: HubProblem, message: RegExp): Promise<void> {
  await rejects(promise, (error) => {
    ok(error instanceof HubError, String(error));
    strictEqual(error.problem, problem);
    ok(message.test(error.message), error.message);
    return true;
  });
}

function stream(bytes: Uint8Array): ReadableStream {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
}
