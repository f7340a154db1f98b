// What is reached in an instance from outside: files, lines, commands.
export { type ExecLinkOptions, openReachServer, type ReachOptions, type ReachServer } from "./reach/reach-server.ts";
export { type ControlOptions, type ControlServer, controlSocketName, type ExecutorApiOptions, type MoreRequests, openControlSocket, openExecutorApi } from "./reach/control-server.ts";
export { type ExecControl, execProtocol } from "./reach/exec-protocol.ts";
export { runOverSocket, type RemoteExec, type RemoteExecOptions } from "./reach/exec-client.ts";
export { createLinkSigner, type LinkSigner, type LinkSignerOptions, type Verdict } from "./reach/signed-link.ts";
