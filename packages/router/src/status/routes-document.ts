import { optionsToWire } from "../route-options-wire.ts";
import type { Endpoint } from "../endpoint.ts";
import type { RouteTable } from "../table/route-table.ts";

/** So many routes are written at a time; requests go between. */
const routesAtATime = 200;

/**
 * The table as gorouter shows it, as text: route to endpoints, times in seconds, `ttl` -1 for what never leaves by age.
 * An endpoint of a saved table that nobody has confirmed yet says `unconfirmed: true` besides.
 */
export async function* routesText(table: RouteTable, isUnconfirmed: (route: string, endpoint: Endpoint) => boolean = () => false): AsyncGenerator<string> {
  const all = table.snapshot();
  let text = "{";
  for (let at = 0; at < all.length; at += 1) {
    const { route, endpoints, options } = all[at] as (typeof all)[number];
    const shown = optionsToWire(options);
    text += `${at === 0 ? "" : ","}${JSON.stringify(route)}:${JSON.stringify(endpoints.map((endpoint) => endpointDocument(endpoint, shown, isUnconfirmed(route, endpoint))))}`;
    if (at % routesAtATime !== routesAtATime - 1) continue;
    yield text;
    text = "";
    await new Promise((resolve) => setImmediate(resolve));
  }
  yield `${text}}`;
}

const endpointDocument = (endpoint: Endpoint, shown: object, unconfirmed: boolean): object => ({
  address: endpoint.address,
  availability_zone: endpoint.availabilityZone,
  protocol: endpoint.protocol,
  tls: endpoint.backend.tls,
  ttl: endpoint.staleAfterMs === undefined ? -1 : Math.round(endpoint.staleAfterMs / 1_000),
  tags: endpoint.tags,
  ...(endpoint.isolationSegment ? { isolation_segment: endpoint.isolationSegment } : {}),
  ...(endpoint.instanceId ? { private_instance_id: endpoint.instanceId } : {}),
  ...(endpoint.backend.serverName ? { server_cert_domain_san: endpoint.backend.serverName } : {}),
  ...shown,
  ...(unconfirmed ? { unconfirmed: true } : {}),
});
