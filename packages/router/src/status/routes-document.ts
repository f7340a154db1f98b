import { optionsToWire } from "../route-options-wire.ts";
import type { Endpoint } from "../endpoint.ts";
import type { RouteTable } from "../table/route-table.ts";

/**
 * The table as gorouter shows it: route to endpoints, times in seconds, `ttl` -1 for what never leaves by age.
 * An endpoint of a saved table that nobody has confirmed yet says `unconfirmed: true` besides.
 */
export function routesDocument(table: RouteTable, isUnconfirmed: (route: string, endpoint: Endpoint) => boolean = () => false): Record<string, object[]> {
  const document: Record<string, object[]> = {};
  for (const { route, endpoints, options } of table.snapshot()) {
    const shown = optionsToWire(options);
    document[route] = endpoints.map((endpoint) => ({
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
      ...(isUnconfirmed(route, endpoint) ? { unconfirmed: true } : {}),
    }));
  }
  return document;
}
