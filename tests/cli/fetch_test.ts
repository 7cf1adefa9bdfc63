import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArguments } from "../../src/cli/arguments.ts";
import { grantsOf } from "../../src/cli/permissions.ts";
import { COMMIT, HubServer, part, someBytes } from "../hub/hub_server.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { type CliResult, type Task, taskArgs } from "./run_cli.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MODEL = fileURLToPath(new URL("../../weights/nano", import.meta.url));
const PICTURE = fileURLToPath(new URL("../media/pngsuite/basn2c08.png", import.meta.url));
const WEIGHTS = someBytes(200_000, 1), UNET = "unet/diffusion_pytorch_model.safetensors";
const FILES = [
  ["model_index.json", new TextEncoder().encode("{}")],
  ["unet/config.json", new TextEncoder().encode("{ }")],
  [UNET, WEIGHTS],
] as const;

Deno.test("fetch downloads a model that upscale and plan then take by its name, without the network", () =>
  withHub(nanoFiles(), async ({ home, run }) => {
    const fetched = await run("fetch", "owner/nano", "--progress", "json");
    strictEqual(fetched.code, 0, fetched.stderr);
    const events = fetched.stderr.trimEnd().split("\n").map((line) => JSON.parse(line));
    const snapshot = join(home, "hub", "models--owner--nano", "snapshots", COMMIT);
    deepStrictEqual([events[0].event, events.at(-1).event], ["fetch", "fetched"]);
    strictEqual(events[0].kept_bytes, 0);
    strictEqual(events.at(-1).bytes, events[0].bytes);
    strictEqual(events.at(-1).path, snapshot);
    ok((await Deno.lstat(join(snapshot, "unet", "config.json"))).isSymlink);

    const again = await run("fetch", "owner/nano");
    strictEqual(again.code, 0, again.stderr);
    match(again.stderr, /of it there already\nFetched 0 B in /);

    const offline = { HF_HUB_OFFLINE: "1", HF_ENDPOINT: "" };
    const output = join(home, "out"), common = ["-i", PICTURE, "-m", "owner/nano", "--allow-cpu"];
    const upscaled = await run("upscale", ...common, "-o", output, "--tuning", "off", offline);
    strictEqual(upscaled.code, 0, upscaled.stderr);
    match(upscaled.stderr, /^Model: owner\/nano, 1 frame, /m);
    ok((await Deno.stat(join(output, "basn2c08.png"))).isFile);
    const planned = await run("plan", ...common, offline);
    strictEqual(planned.code, 0, planned.stderr);
    match(planned.stdout, /, model owner\/nano\n/);
  }));

Deno.test("upscale and plan say how to fetch a model that is neither a folder nor fetched", () =>
  withHub(FILES, async ({ run }) => {
    for (const task of ["upscale", "plan"]) {
      const { code, stderr } = await run(task, "-i", PICTURE, "-m", "owner/name");
      strictEqual(code, 69, stderr);
      match(
        stderr,
        /^Error: Cannot open model "owner\/name": no such folder.*: deno task fetch owner\/name\n$/,
      );
    }
  }));

Deno.test("fetch --dry-run prints names and sizes, and writes nothing", () =>
  withHub(FILES, async ({ server, home, run }) => {
    const { code, stdout, stderr } = await run("fetch", "owner/name", "--dry-run");
    strictEqual(code, 0, stderr);
    deepStrictEqual(stdout.split("\n"), [
      `owner/name at main, commit ${COMMIT}: 3 files, 201 kB`,
      "       2 B  model_index.json",
      "       3 B  unet/config.json",
      `    200 kB  ${UNET}`,
      `To fetch: 201 kB into ${join(home, "hub", "models--owner--name")}`,
      "",
    ]);
    strictEqual(server.fileRequests.length, 0);
    deepStrictEqual(await Array.fromAsync(Deno.readDir(home)), []);
  }));

Deno.test("fetch that SIGTERM stops ends with 143, and the next one goes on with the same bytes", () =>
  withHub(FILES, async ({ server, home, run, start }) => {
    const held = Promise.withResolvers<void>();
    server.answer = ({ path, range }) => {
      if (!path.endsWith(UNET) || range !== null) return null;
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(WEIGHTS.slice(0, 70_000));
          held.resolve();
        },
      });
      return new Response(body);
    };
    const child = start("fetch", "owner/name");
    const blobs = join(home, "hub", "models--owner--name", "blobs");
    await held.promise;
    while (await incompleteBytes(blobs) < 70_000) await new Promise((resolve) => setTimeout(resolve, 50));
    child.kill("SIGTERM");
    const stopped = await finish(child);
    strictEqual(stopped.code, 143, stopped.stderr);
    match(stopped.stderr, /\nError: Stopped by SIGTERM: run the same command again to go on\n$/);

    const { code, stderr } = await run("fetch", "owner/name");
    strictEqual(code, 0, stderr);
    strictEqual(server.fileRequests.at(-1)!.range, "bytes=70000-");
    const path = join(home, "hub", "models--owner--name", "snapshots", COMMIT, UNET);
    deepStrictEqual(await Deno.readFile(path), WEIGHTS);
  }));

Deno.test("fetch ends with documented codes, and says what to do", () =>
  withHub(FILES, async ({ server, home, run }) => {
    const wrong = WEIGHTS.slice();
    wrong[0]! ^= 1;
    const status = (status: number, headers: HeadersInit = {}) => () => new Response("", { status, headers });
    const cases: [
      answer: HubServer["answer"],
      args: (string | Record<string, string>)[],
      code: number,
      message: RegExp,
    ][] = [
      [status(401), [], 69, /refuses access \(401\).*set HF_TOKEN/],
      [status(403), [{ HF_TOKEN: "hf_x" }], 69, /refuses access \(403\).*use an HF_TOKEN that may read it/],
      [status(404), ["--revision", "v9"], 69, /at revision "v9": the hub has no such thing \(404\)/],
      [
        status(429, { "retry-after": "900" }),
        [],
        75,
        /too many requests \(429\); run the same command again in 900 s/,
      ],
      [() => null, [{ HF_HUB_OFFLINE: "1" }], 69, /HF_HUB_OFFLINE forbids the network; unset it/],
      [() => null, [{ HF_ENDPOINT: "ftp://x" }], 64, /Cannot use HF_ENDPOINT "ftp:\/\/x": wanted an address/],
      [() => null, [{ HF_TOKEN: "a b" }], 64, /Cannot use HF_TOKEN: it holds characters/],
      [() => null, ["--revision", "../x"], 64, /Cannot fetch revision "\.\.\/x": wanted a branch/],
      [() => null, [{ HF_HOME: PICTURE }], 73, /Cannot write to folder .* Set HF_HOME to another folder/],
      [
        ({ path, range }) => path.endsWith(UNET) ? part(wrong, range) : null,
        [],
        74,
        /do not have the digest/,
      ],
    ];
    for (const [answer, args, expected, message] of cases) {
      server.answer = answer;
      const { code, stdout, stderr } = await run("fetch", "owner/name", ...args, "-q");
      strictEqual(code, expected, stderr);
      strictEqual(stdout, "");
      match(stderr, message);
      match(stderr, /^Error: [^\n]+\n$/);
      ok(!stderr.includes("hf_x"));
    }
    server.answer = () => null;
    server.files.delete("model_index.json");
    const { code, stderr } = await run("fetch", "owner/name");
    strictEqual(code, 65, stderr);
    match(stderr, /it has no model_index\.json/);
    deepStrictEqual(
      await Array.fromAsync(Deno.readDir(join(home, "hub", "models--owner--name")), ({ name }) => name),
      [
        "blobs",
      ],
    );
  }));

Deno.test("grantsOf() gives the network to fetch alone, and to fetch one model's folder in the cache", () => {
  const { read, write, net } = grantsOf(parseArguments(["fetch", "owner/name"]));
  deepStrictEqual([read.length, net], [1, true]);
  deepStrictEqual(read, write);
  match(read[0]!, /[/\\]hub[/\\]models--owner--name$/);
  const others = [["upscale", "-i", "x"], ["plan", "-i", "x"], ["demo"], ["compare", "-i", "x", "-r", "y"], [
    "doctor",
  ]];
  for (const args of others) strictEqual(grantsOf(parseArguments(args)).net, false, args[0]);
});

/** Arguments, and variables of the environment. */
type Words = readonly (string | Readonly<Record<string, string>>)[];

/** Runs a test with a hub, an empty HF_HOME, and the command line to use with both. */
function withHub(
  files: Iterable<readonly [string, Uint8Array<ArrayBuffer>]>,
  test: (context: {
    readonly server: HubServer;
    readonly home: string;
    readonly start: (...words: Words) => Deno.ChildProcess;
    readonly run: (...words: Words) => Promise<CliResult>;
  }) => Promise<void>,
): Promise<void> {
  return withTempDir(async (home) => {
    await using server = new HubServer(files);
    function start(...words: Words): Deno.ChildProcess {
      const args = words.filter((word) => typeof word === "string");
      const env = { HF_HOME: home, HF_ENDPOINT: server.endpoint.href, HF_TOKEN: "", HF_HUB_OFFLINE: "" };
      return new Deno.Command(Deno.execPath(), {
        args: [...taskArgs(args[0] as Task), ...args],
        cwd: ROOT,
        env: Object.assign(env, ...words.filter((word) => typeof word !== "string")),
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    }
    await test({ server, home, start, run: (...words) => finish(start(...words)) });
  });
}

async function finish(child: Deno.ChildProcess): Promise<CliResult> {
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stderr).replaceAll(/^error: XDG_RUNTIME_DIR is invalid.*\n/gm, "");
  return { code, stdout: new TextDecoder().decode(stdout), stderr: text };
}

/** Bytes of the largest unfinished download. */
async function incompleteBytes(blobs: string): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(blobs)) {
    if (name.endsWith(".incomplete")) bytes = Math.max(bytes, (await Deno.stat(join(blobs, name))).size);
  }
  return bytes;
}

/** The files of the bundled model. */
function* nanoFiles(folder = ""): Generator<readonly [string, Uint8Array<ArrayBuffer>]> {
  for (const { name, isDirectory } of Deno.readDirSync(join(MODEL, folder))) {
    if (isDirectory) yield* nanoFiles(`${folder}${name}/`);
    else yield [`${folder}${name}`, Deno.readFileSync(join(MODEL, folder, name))];
  }
}
