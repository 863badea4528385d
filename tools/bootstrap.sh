# Sourced by the scripts beside it. Afterwards the current folder is the checkout, .venv holds uv and hatch, the
# Pythons of this machine are on PATH, and `hatch` can be called. Written for bash 3.2, which macOS still ships.

say() { printf '%s\n' "$*" >&2; }

runs() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

# A pyenv shim stands on PATH without answering: a Python counts only once it has run.
locate_python() { # VERSION -> its program, where PATH has none that runs
  local program
  for program in "${PYENV_ROOT:-$home/.pyenv}/versions/$1".*/bin/"python$1"; do
    if runs "$program"; then printf '%s\n' "$program" && return; fi
  done
  for program in uv .venv/bin/uv; do
    program=$("$program" python find --system --no-project "$1" 2>/dev/null) || continue
    if runs "$program"; then printf '%s\n' "$program" && return; fi
  done
  return 1
}

put_pythons_on_path() {
  local version program
  for version in 3.12 3.13 3.14; do
    if ! runs "python$version" && program=$(locate_python "$version"); then
      PATH="$(dirname "$program"):$PATH"
    fi
  done
}

newest_python() {
  local name
  for name in python3.14 python3.13 python3.12 python3; do
    if runs "$name"; then command -v "$name" && return; fi
  done
  say 'DLQ needs Python 3.12 or later, and none was found on PATH, in pyenv or in uv. Install one and try again:'
  say '  uv python install 3.13 | pyenv install 3.13 | brew install python@3.13 | apt-get install python3.13-venv'
  return 1
}

# Debian keeps venv and ensurepip in a package of their own.
ensure_venv_module() { # PYTHON
  local package
  if "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; then return; fi
  package="python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing $package"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1
    return
  fi
  say "$1 cannot make virtual environments. Install uv or, on Debian and Ubuntu: apt-get install $package"
  return 1
}

make_venv() {
  local python
  if .venv/bin/python -c '' >/dev/null 2>&1; then
    say 'The .venv here has a Python older than 3.12. Move it away and try again.'
    return 1
  fi
  python=$(newest_python)
  say "Setting up .venv with $("$python" -V)"
  if command -v uv >/dev/null; then
    uv venv --quiet --clear --python "$python" .venv
  else
    ensure_venv_module "$python"
    "$python" -m venv --clear .venv
  fi
}

install_hatch() {
  local uv=uv
  if ! command -v uv >/dev/null; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
    uv=.venv/bin/uv
  fi
  "$uv" pip install --quiet --python .venv/bin/python uv 'hatch>=1.18,<2'
}

hatch() { .venv/bin/python -m hatch "$@"; }

bootstrap() {
  local home
  home=~
  CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")/.." || return
  # A Python that is missing is better named at once than looked for on the network for a while.
  export UV_PYTHON_DOWNLOADS=never
  # The certificate of an office's own network is known to the system, and to uv only when it asks there.
  if [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/ssl/cert.pem ]; then export UV_SYSTEM_CERTS=true; fi
  put_pythons_on_path
  if ! runs .venv/bin/python; then make_venv; fi
  if ! .venv/bin/python -c 'import hatch, uv' 2>/dev/null; then install_hatch; fi
  export PATH
  export HATCH_DATA_DIR="$PWD/.cache/hatch" HYPOTHESIS_STORAGE_DIRECTORY="$PWD/.cache/hypothesis"
  export HATCH_ENV_TYPE_VIRTUAL_UV_PATH="$PWD/.venv/bin/uv"
}

bootstrap
