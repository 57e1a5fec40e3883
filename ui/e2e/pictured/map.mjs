// The states of the map that are worth a picture: from a name to the address.

/** @param {string} url */
export async function pictured(url) {
  const ask = async (path) => (await fetch(`${url}/v1/${path}`)).json();
  const [map] = (await ask("maps").catch(() => [])) ?? [];
  if (!map) return { map: "#/map" };
  const { items } = await ask("maps/items");
  const packed = await (await fetch(`${url}/v1/maps/points`)).arrayBuffer();
  const points = new Float32Array(packed);
  const along = (axis, share) => {
    const values = [...points].filter((_, at) => at % 2 === axis).sort((a, b) => a - b);
    return values[Math.floor(share * (values.length - 1))].toPrecision(5);
  };
  const [left, right, low, high] = [along(0, 0.55), along(0, 0.9), along(1, 0.5), along(1, 0.9)];
  const corners = `${left},${low};${right},${low};${right},${high};${left},${high}`;
  const references = await ask("ood/references");
  const reference = references.at(-1)?.name ?? "";
  return {
    map: "#/map",
    "map-lasso": `#/map?colour=field:modality&lasso=${corners}`,
    "map-details": `#/map?colour=field:age&item=${items[Math.floor(items.length / 3)]}`,
    "map-filter": "#/map?colour=field:modality&filter=age%3E%3D60&hide=~unknown",
    ...(reference && { "map-scores": `#/map?colour=score:${encodeURIComponent(reference)}` }),
  };
}
