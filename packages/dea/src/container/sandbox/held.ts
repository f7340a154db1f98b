import { markVariable } from "../mark.ts";

/*
 * What the user says about the environment must not reach the programs that build the sandbox: LD_PRELOAD would run the
 * app's code in them, outside. So on the way in each variable has a longer name, and the shell that becomes the app,
 * inside, gives it its own back. Names that are no identifiers mean nothing to a loader or a shell; they pass as they are.
 */
const prefix = "__OPENCF_HELD_";

/** `NAME=value` texts under names that mean nothing to anybody; the mark keeps its own, for we look for it. */
export const holdEnvironment = (pairs: readonly string[]): string[] =>
  pairs.map((pair) => (/^[A-Za-z_][A-Za-z0-9_]*=/.test(pair) && !pair.startsWith(`${markVariable}=`) ? `${prefix}${pair}` : pair));

/**
 * The last shell before the app: names get back, limits are set, and it becomes the program. `$1` is the folder to start
 * in, `$2` how many processes and threads there may be. It must be bash: sh has no way to list variables.
 */
const script = `for __opencf_name in "\${!${prefix}@}"; do
  export "\${__opencf_name#${prefix}}=\${!__opencf_name}"
  unset "$__opencf_name"
done 2>/dev/null
for __opencf_name in /proc/self/fd/*; do
  __opencf_name=\${__opencf_name##*/}
  case $__opencf_name in [0-2]|*[!0-9]*) ;; *) eval "exec $__opencf_name>&-" ;; esac
done
unset __opencf_name
cd "$1" || exit 4
[ -n "$2" ] && ulimit -u "$2" 2>/dev/null
shift 2
exec "$@"
`;

/** Program and arguments of the last shell before the app. */
export const insideArguments = (bash: string, cwd: string, maxProcesses: number, argv: readonly string[]): string[] =>
  [bash, "-p", "-c", script, "opencf-inside", cwd, String(maxProcesses), ...argv];
