import type { Endpoint, EndpointNames } from "../endpoint.ts";
import { linesOf } from "./lines.ts";

/** What is said of an endpoint with each request; put together for the first one. */
export const namesOf = (endpoint: Endpoint): EndpointNames => endpoint.names ??= makeNames(endpoint);

function makeNames({ address, app, instanceId, instanceIndex, tags }: Endpoint): EndpointNames {
  const flat: string[] = [];
  if (app !== "") flat.push("X-CF-ApplicationID", app);
  if (instanceIndex !== "") flat.push("X-CF-InstanceIndex", instanceIndex);
  flat.push("X-CF-InstanceID", instanceId === "" ? address : instanceId);
  // Without text where a registration brought what no line can carry: then the whole head is looked at, and refused.
  return { flat, text: linesOf(flat)?.text ?? "", shown: Object.freeze({ address, app, instanceId, instanceIndex, tags }) };
}
