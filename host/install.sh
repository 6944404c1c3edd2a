# shellcheck shell=bash
# Sourced by host/run and tests/run: installs what is missing, builds. Wants $root, the
# top of the repository; each function says in a line what it does and fails loudly.

say() {
  printf '==> %s\n' "$*"
}

# packages FILE...: the names in these files, comments and blanks left out.
packages() {
  sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$@"
}

# missing FILE...: those of the packages that dpkg does not call installed.
missing() {
  local name
  for name in $(packages "$@"); do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
      printf '%s\n' "$name"
  done
}

# as_root COMMAND...: runs it as root, through sudo where needed.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    printf 'This needs root, and there is no sudo. As root, run: %s\n' "$*" >&2
    return 1
  fi
}

# install_packages FILE...: asks apt only when something is missing.
install_packages() {
  local names
  mapfile -t names < <(missing "$@")
  [ ${#names[@]} -gt 0 ] || return 0
  say "installing with apt-get: ${names[*]}"
  as_root apt-get update -qq </dev/null &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
      -o DPkg::Lock::Timeout=120 --no-install-recommends "${names[@]}" </dev/null >/dev/null
}

# quietly LOG COMMAND...: its output goes to LOG, and is shown only if it fails.
quietly() {
  local log=$1
  shift
  "$@" </dev/null >"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

# build DIR [CMAKE-OPTION...]: configures and builds the repository into DIR.
build() {
  local dir=$1
  shift
  say "building into ${dir#"$root"/}"
  mkdir -p "$dir" &&
    quietly "$dir/configure.log" cmake -S "$root" -B "$dir" "$@" &&
    quietly "$dir/build.log" cmake --build "$dir" --parallel "$(nproc)"
}
