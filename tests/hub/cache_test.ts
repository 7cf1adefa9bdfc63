import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import {
  cacheEntry,
  hubFolder,
  modelName,
  newestSnapshot,
  REPO_NAME,
  REVISION,
} from "../../src/hub/cache.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { COMMIT } from "./hub_server.ts";

Deno.test("hubFolder() follows HF_HOME, then XDG_CACHE_HOME, then the home folder", () => {
  const cases: [os: typeof Deno.build.os, variables: Record<string, string>, folder: string | undefined][] = [
    ["linux", { HF_HOME: "/hf", XDG_CACHE_HOME: "/xdg", HOME: "/me" }, "/hf/hub"],
    ["linux", { HF_HOME: "~/hf", HOME: "/me" }, "/me/hf/hub"],
    ["linux", { XDG_CACHE_HOME: "/xdg", HOME: "/me" }, "/xdg/huggingface/hub"],
    ["linux", { XDG_CACHE_HOME: "relative", HOME: "/me" }, "/me/.cache/huggingface/hub"],
    ["darwin", { HOME: "/me" }, "/me/.cache/huggingface/hub"],
    ["windows", { HOME: "/other", USERPROFILE: "/me" }, "/me/.cache/huggingface/hub"],
    ["linux", {}, undefined],
  ];
  for (const [os, variables, folder] of cases) {
    strictEqual(hubFolder((name) => variables[name], os), folder, JSON.stringify(variables));
  }
});

Deno.test("REPO_NAME and REVISION take what hubs take, and nothing that leads elsewhere", () => {
  const repos = ["owner/name", "Owner-1/name_2.0-x"];
  const revisions = ["main", "fp16", "v1.0", "refs/pr/1", COMMIT];
  deepStrictEqual(repos.filter((name) => !REPO_NAME.test(name)), []);
  deepStrictEqual(revisions.filter((name) => !REVISION.test(name)), []);
  const bad = [
    "",
    "/",
    "a",
    "../b",
    "a/..",
    "a/../b",
    "/a/b",
    "a//b",
    "a/b/",
    "a\\b/c",
    "a/b c",
    "a/b\n",
    "a/.b",
  ];
  deepStrictEqual([...bad, "a/b/c", "a--b/c", "a/b--c", "a/b..c"].filter((name) => REPO_NAME.test(name)), []);
  deepStrictEqual(bad.filter((name) => name !== "a" && REVISION.test(name)), []);
});

Deno.test("newestSnapshot() gives the snapshot that refs/main names, if it is there", () =>
  withTempDir(async (dir) => {
    const entry = cacheEntry(dir, "owner/name"), snapshot = join(entry, "snapshots", COMMIT);
    strictEqual(entry, join(dir, "models--owner--name"));
    strictEqual(newestSnapshot(entry), null);
    await Deno.mkdir(join(entry, "refs"), { recursive: true });
    await Deno.writeTextFile(join(entry, "refs", "main"), COMMIT);
    strictEqual(newestSnapshot(entry), null);
    await Deno.mkdir(snapshot, { recursive: true });
    strictEqual(newestSnapshot(entry), snapshot);
    await Deno.writeTextFile(join(entry, "refs", "main"), "../../elsewhere");
    strictEqual(newestSnapshot(entry), null);
  }));

Deno.test("modelName() names snapshots by their model and other folders by themselves", () => {
  strictEqual(modelName(`/hub/models--owner--a--b/snapshots/${COMMIT}`), "owner/a--b");
  strictEqual(modelName("/weights/nano"), "nano");
  strictEqual(modelName("/models--a--b/other/nano"), "nano");
});
