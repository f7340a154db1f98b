type Body = Record<string, unknown>;
/** Reads an older shape as today's. Gives the very same object back where there is nothing to change, and never throws. */
export type Upgrade = (body: Body) => Body;

/** Numbers in these fields become text: ids of v1 are row numbers, those of v2 guids. */
export const textual = (...names: readonly string[]): Upgrade => (body) => {
  let result = body;
  for (const name of names) {
    const value = body[name];
    if (typeof value !== "number") continue;
    if (result === body) result = { ...body };
    result[name] = String(value);
  }
  return result;
};

/** Fields that are absent get these values; null counts as absent. */
export const defaulted = (values: Readonly<Body>): Upgrade => {
  const names = Object.keys(values);
  return (body) => {
    let result = body;
    for (const name of names) {
      if (body[name] !== undefined && body[name] !== null) continue;
      if (result === body) result = { ...body };
      result[name] = structuredClone(values[name]);
    }
    return result;
  };
};

/** Null in these fields counts as absent, as a receiver in Go or Ruby takes it. */
export const absent = (...names: readonly string[]): Upgrade => (body) => {
  let result = body;
  for (const name of names) {
    if (body[name] !== null) continue;
    if (result === body) result = { ...body };
    delete result[name];
  }
  return result;
};

/** A field goes by a new name, unless the new name is there already. */
export const renamed = (from: string, to: string): Upgrade => (body) => {
  if (body[from] === undefined || body[to] !== undefined) return body;
  const { [from]: value, ...rest } = body;
  return { ...rest, [to]: value };
};

/** The object in a field is upgraded. */
export const within = (name: string, upgrade: Upgrade): Upgrade => (body) => {
  const inner = body[name];
  if (!isBody(inner)) return body;
  const today = upgrade(inner);
  return today === inner ? body : { ...body, [name]: today };
};

/** Every object in the list in a field is upgraded. */
export const each = (name: string, upgrade: Upgrade): Upgrade => (body) => {
  const list: unknown = body[name];
  if (!Array.isArray(list)) return body;
  let result: unknown[] | undefined;
  for (let i = 0; i < list.length; i++) {
    const item: unknown = list[i];
    const today = isBody(item) ? upgrade(item) : item;
    if (today === item) continue;
    result ??= [...list];
    result[i] = today;
  }
  return result ? { ...body, [name]: result } : body;
};

/** Every object that the body has under any name is upgraded. */
export const eachValue = (upgrade: Upgrade): Upgrade => (body) => Object.keys(body).reduce((today, name) => within(name, upgrade)(today), body);

export const all = (...upgrades: readonly Upgrade[]): Upgrade => (body) => upgrades.reduce((today, upgrade) => upgrade(today), body);

const isBody = (value: unknown): value is Body => typeof value === "object" && value !== null && !Array.isArray(value);
