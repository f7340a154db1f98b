/*
 * The first process of a container. It starts the app and waits: it takes in orphans, and it is what a signal to the
 * first process would have to end, so the app gets signals with their usual meaning. Same tricks as the keeper's, to
 * whom it says at its end, by the pipe of number 3, how the app ended. The pipe is root's of the host, so the app, which
 * does not get it, cannot open it anew through /proc.
 */

/** Text for a shell whose arguments are the app's program and its arguments. */
export const firstProcess = `trap : HUP INT QUIT TERM USR1 USR2 ALRM
exec 5>&1 6>&2 >/dev/null 2>/dev/null
(exec "$@" >&5 2>&6 3>&- 5>&- 6>&-)
status=$?
printf '%s\\n' "$status" >&3
exit "$status"
`;
