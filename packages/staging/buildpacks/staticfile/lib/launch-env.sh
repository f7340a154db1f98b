# Shell functions for the last buildpack of a list. The same file stands in each of our buildpacks, so that each works alone.

# launch_env DEPS PROFILE: what the supplied dependencies offer becomes part of the app's environment at launch.
# Paths are written with a literal $DEPS_DIR: where the app runs is not where it is staged.
launch_env() {
  mkdir -p "$2"
  out="$2/000_multi-supply.sh"
  : > "$out"
  for dep in "$1"/*; do
    [ -d "$dep" ] || continue
    index=$(basename "$dep")
    if [ -d "$dep/bin" ]; then
      echo "export PATH=\"\$DEPS_DIR/$index/bin\${PATH:+:\$PATH}\"" >> "$out"
    fi
    if [ -d "$dep/lib" ]; then
      echo "export LD_LIBRARY_PATH=\"\$DEPS_DIR/$index/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\"" >> "$out"
      echo "export LIBRARY_PATH=\"\$DEPS_DIR/$index/lib\${LIBRARY_PATH:+:\$LIBRARY_PATH}\"" >> "$out"
    fi
    for script in "$dep"/profile.d/*; do
      [ -f "$script" ] || continue
      cp "$script" "$2/${index}_$(basename "$script")"
    done
  done
  [ -s "$out" ] || rm "$out"
}

# record_node DEPS IDX: the app runs with the Node that was found while staging, or with the one on its PATH where that is absent.
record_node() {
  mkdir -p "$1/$2/profile.d"
  node=$(command -v node)
  cat > "$1/$2/profile.d/node.sh" <<SCRIPT
if [ -x "$node" ]; then
  PATH="\$PATH:$(dirname "$node")"
  case "\$(command -v node)" in
    "$node") ;;
    *) PATH="$(dirname "$node"):\$PATH" ;;
  esac
  export PATH
elif ! command -v node > /dev/null 2>&1; then
  echo "This app was staged with the Node at $node, and here is none; stage it again on this machine" >&2
fi
SCRIPT
}
