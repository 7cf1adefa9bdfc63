import assert from "node:assert/strict";
import { join } from "node:path";
import { tuningFolder } from "../../src/cli/tuning_folder.ts";

const HOME = join("/", "home", "me"), CACHE = join("/", "cache");
const ENVIRONMENT: Readonly<Record<string, string>> = { HOME, XDG_CACHE_HOME: CACHE, LOCALAPPDATA: "local" };

/** The folder on `os` if only some of the environment is set. */
function folder(os: typeof Deno.build.os, ...variables: readonly string[]): string | undefined {
  return tuningFolder(os, (name) => variables.includes(name) ? ENVIRONMENT[name] : undefined);
}

Deno.test("tuningFolder() lies where the platform keeps caches", () => {
  assert.equal(folder("linux", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), join(CACHE, "dgaf-vsr"));
  assert.equal(folder("linux", "HOME"), join(HOME, ".cache", "dgaf-vsr"));
  assert.equal(
    folder("darwin", "HOME", "XDG_CACHE_HOME"),
    join(HOME, "Library", "Caches", "dgaf-vsr"),
  );
  assert.equal(folder("windows", "HOME", "LOCALAPPDATA"), join("local", "dgaf-vsr"));
});

Deno.test("tuningFolder() ignores a relative XDG_CACHE_HOME", () => {
  const environment: Record<string, string> = { HOME, XDG_CACHE_HOME: "cache" };
  assert.equal(tuningFolder("linux", (name) => environment[name]), join(HOME, ".cache", "dgaf-vsr"));
});

Deno.test("tuningFolder() is unknown where the environment does not tell", () => {
  assert.equal(folder("linux"), undefined);
  assert.equal(folder("darwin", "LOCALAPPDATA"), undefined);
  assert.equal(folder("windows", "HOME"), undefined);
});

Deno.test({
  name: "tuningFolder() is unknown where the environment may not be read",
  permissions: { env: false },
  fn() {
    assert.equal(tuningFolder(), undefined);
  },
});
