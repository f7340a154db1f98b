import { Type } from "@sinclair/typebox";
import { message } from "../schema.ts";

/** Who a component is and where it answers `/varz` and `/healthz`. The credentials open exactly those: treat `vcap.*` as secret. */
export const Component = Type.Object({
  type: Type.String(),
  index: Type.Integer(),
  uuid: Type.String(),
  /** `address:port` */
  host: Type.String(),
  credentials: Type.Array(Type.String()),
  start: Type.String(),
  uptime: Type.Optional(Type.String()),
});

export const componentAnnounce = message("vcap.component.announce", Component, {
  about: "A component has come up.", from: "every component", to: "monitoring, other components",
});
export const componentDiscover = message("vcap.component.discover", Type.Object({}), {
  reply: Component, bare: true, about: "Who is there?", from: "monitoring, other components", to: "every component",
});
