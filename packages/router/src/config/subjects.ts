import { BadValue, isMapping, oneOrMore, text, type Read } from "./value.ts";

/** Attributes by the names that a gorouter's file gives them, and their short names. */
const attributes: Readonly<Record<string, string>> = {
  common_name: "CN", country: "C", organization: "O", organizational_unit: "OU", locality: "L", province: "ST", street_address: "street", postal_code: "postalCode", serial_number: "serialNumber",
};

/** A distinguished name (gorouter `config.CertSubject`). */
export const distinguishedName: Read<Record<string, string | string[]>> = (value) => {
  if (!isMapping(value)) throw new BadValue(`a mapping with ${Object.keys(attributes).join(", ")}`);
  const out: Record<string, string | string[]> = {};
  for (const [name, given] of Object.entries(value)) {
    const short = attributes[name];
    if (short === undefined) throw new BadValue(`one of ${Object.keys(attributes).join(", ")}`, `.${name}`);
    const list = oneOrMore(text)(given).filter((one) => one !== "");
    if (list.length > 0) out[short] = list.length === 1 ? list[0] as string : list;
  }
  return out;
};
