/*
 * The first process of a container. It starts the app and waits: it takes in orphans, and it is what a signal to the
 * first process would have to end, so the app gets signals with their usual meaning. Same tricks as the keeper's.
 */
const waits = `trap : HUP INT QUIT TERM USR1 USR2 ALRM
exec 5>&1 6>&2 >/dev/null 2>/dev/null
(exec "$@" >&5 2>&6 3>&- 5>&- 6>&-)
`;

/*
 * A runtime that removes a container's cgroup with it takes away the only proof that memory ran out. Then the first
 * process looks before it ends, and leaves the count in a file of the host that it was handed as number 3. The file is
 * root's, so the app cannot open it anew through /proc; builtins only, because there may be no memory to fork.
 */
const tells = `status=$?
for file in /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events; do
  [ -r "$file" ] && while read -r name count; do [ "$name" = oom_kill ] && printf '%s\\n' "$count" >&3; done <"$file"
done
exit $status
`;

/** Text for a shell whose arguments are the app's program and its arguments. `reports`: file 3 takes the count of kills. */
export const firstProcess = (reports: boolean): string => waits + (reports ? tells : "exit $?\n");

/** Starts the runtime with a file as number 3: `sh -c THIS FILE runtime...`. */
export const handFile = `exec 3>>"$0" "$@"`;
