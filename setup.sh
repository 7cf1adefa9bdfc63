#!/usr/bin/env bash
# Makes this checkout ready to run: Deno, the npm dependencies and, on Debian and Ubuntu, a Vulkan loader and
# driver. Running it again changes nothing that is already there.
set -eu

DENO_VERSION=2.9.6
DENO_HOME="$HOME/.deno"
apt_lists_fresh=no

say() { printf 'setup: %s\n' "$*"; }

fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

is_linux() { [ "$(uname -s)" = Linux ]; }

can_apt() { has apt-get && { [ "$(id -u)" = 0 ] || has sudo; }; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
  if [ "$apt_lists_fresh" = no ]; then
    as_root apt-get update -qq || return 1
    apt_lists_fresh=yes
  fi
  say "installing $* (apt-get)"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Deno 2.9 is the oldest release with what this project uses.
deno_is_recent() {
  "$1" --version 2>/dev/null | awk '$1 == "deno" { split($2, v, "."); ok = v[1] > 2 || (v[1] == 2 && v[2] >= 9) } END { exit !ok }'
}

install_deno_npm() {
  has npm || return 1
  say "installing Deno $DENO_VERSION (npm install -g)"
  "$@" npm install -g --no-fund --no-audit --loglevel=error "deno@$DENO_VERSION" || return 1
  hash -r
  make_reachable "$("$@" npm prefix -g)/bin/deno"
}

# Deno's own installer needs curl and unzip. CI=1 keeps it from editing shell profiles, and it runs in a folder
# of its own because it may write a lock file where it stands.
install_deno_installer() {
  missing=
  has curl || missing="curl ca-certificates"
  has unzip || missing="$missing unzip"
  if [ -n "$missing" ]; then
    can_apt || return 1
    # shellcheck disable=SC2086 # a list of package names
    apt_install $missing || return 1
  fi
  say "installing Deno $DENO_VERSION into $DENO_HOME (https://deno.land/install.sh)"
  scratch=$(mktemp -d)
  status=0
  (
    cd "$scratch" &&
      curl -fsSL --connect-timeout 10 --max-time 60 -o install.sh https://deno.land/install.sh &&
      CI=1 DENO_INSTALL="$DENO_HOME" sh install.sh "v$DENO_VERSION"
  ) || status=1
  rm -rf "$scratch"
  [ "$status" = 0 ] || return 1
  make_reachable "$DENO_HOME/bin/deno"
}

# A fresh ~/.deno/bin or npm prefix is not on PATH yet; /usr/local/bin is, so the next command in the same shell works.
make_reachable() {
  deno_path=$1
  has deno && return 0
  if [ -w /usr/local/bin ] && [ ! -e /usr/local/bin/deno ]; then
    say "linking /usr/local/bin/deno to $deno_path"
    ln -s "$deno_path" /usr/local/bin/deno
    hash -r
  fi
}

ensure_deno() {
  deno_path=$(command -v deno || true)
  if [ -n "$deno_path" ] && deno_is_recent "$deno_path"; then
    say "Deno is there: $deno_path"
    return 0
  fi
  [ -z "$deno_path" ] || say "$deno_path is older than 2.9 and stays as it is"
  install_deno_npm || install_deno_installer || { can_apt && apt_install npm && install_deno_npm as_root; } ||
    fail "Cannot install Deno $DENO_VERSION: no way worked; install it by hand (https://docs.deno.com/runtime), then run ./setup.sh again"
  deno_is_recent "$deno_path" || fail "Cannot run $deno_path: it does not start or is older than 2.9"
}

has_library() {
  PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q "$1"
}

has_vulkan_driver() {
  [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] ||
    ls /usr/share/vulkan/icd.d/*.json >/dev/null 2>&1 || ls /etc/vulkan/icd.d/*.json >/dev/null 2>&1
}

ensure_vulkan() {
  is_linux || return 0
  wanted=
  has_library libvulkan.so.1 || wanted=libvulkan1
  if ! has_vulkan_driver; then
    wanted="$wanted mesa-vulkan-drivers"
    if has_library libGLX_nvidia.so.0; then
      say "an NVIDIA driver is there, but no nvidia_icd.json names it to Vulkan: the GPU stays unused until one does"
    fi
  fi
  if [ -z "$wanted" ]; then
    say "Vulkan loader and driver are there"
  elif can_apt; then
    # shellcheck disable=SC2086 # a list of package names
    apt_install $wanted || fail "Cannot install$wanted: apt-get failed (its message stands above)"
  else
    say "no Vulkan loader or driver found: install your system's (on Debian: $wanted), or no GPU adapter will be found"
  fi
}

cd "$(dirname "$0")"
ensure_deno
ensure_vulkan
say "fetching npm dependencies (deno install)"
"$deno_path" install --frozen --quiet

if [ "$(command -v deno || true)" != "$deno_path" ] && ! deno_is_recent deno; then
  fail "Deno is in $(dirname "$deno_path"), which is not first on PATH; run: export PATH=\"$(dirname "$deno_path"):\$PATH\""
fi
say "ready: try 'deno task demo' and 'deno task test'"
