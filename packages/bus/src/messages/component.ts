import { Type } from "@sinclair/typebox";
import { latestPerKey } from "../policy.ts";
import { message } from "../schema.ts";
import { Credentials, Nothing } from "./shapes/common.ts";
import { defaulted } from "./shapes/older.ts";

/** Who a component is and where it answers `/varz` and `/healthz`. The credentials open exactly those: treat `vcap.*` as secret. */
export const Component = Type.Object({
  type: Type.String(),
  index: Type.Integer(),
  uuid: Type.String(),
  /** `address:port` */
  host: Type.String(),
  credentials: Credentials,
  start: Type.String(),
  /** `0d:1h:2m:3s` */
  uptime: Type.Optional(Type.String()),
  /** Of ours: `address:port` where the component does its real work, when that is another door than `host`. */
  address: Type.Optional(Type.String()),
  /** Of ours. */
  version: Type.Optional(Type.String()),
  /** Of ours: availability zone. */
  zone: Type.Optional(Type.String()),
});

const unnumbered = defaulted({ index: 0 });
const unnumberedWords = "no `index`: a component of which there is one";

export const componentAnnounce = message("vcap.component.announce", Component, {
  about: "A component has come up and answers over HTTP.", from: ["component"], to: ["component", "monitor"], era: "v1-v2c",
  onDisconnect: latestPerKey("uuid"), upgrade: unnumbered, older: unnumberedWords,
});
export const componentDiscover = message("vcap.component.discover", Nothing, {
  about: "Who is there? Without an inbox for the answers the question is passed over.", from: ["component", "monitor", "tool"], to: ["component"], era: "v1-v2c",
  codec: "none", reply: Component, upgradeReply: unnumbered, olderReply: unnumberedWords,
});
