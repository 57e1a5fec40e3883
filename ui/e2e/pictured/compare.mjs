// The states of the comparing view that are worth a picture: from a name to the address.

/** @param {string} url */
export async function pictured(url) {
  const get = async (path) => (await fetch(`${url}/v1/${path}`)).json();
  const itemsOf = async (filter) =>
    (await get(`items?limit=200&filter=${encodeURIComponent(filter)}`)).rows;
  const hitsOf = async (item, filter) =>
    (
      await (
        await fetch(`${url}/v1/search`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ examples: [{ uid: item.id }], k: 4, filter }),
        })
      ).json()
    ).hits;
  const labelled = (rows) => rows.find((row) => Object.keys(row.labels).length) ?? rows[0];
  const film = labelled(await itemsOf("modality in (CR, DX) and kind=image"));
  const volume = labelled(await itemsOf("modality=CT and kind=volume"));
  const found = await hitsOf(film, "");
  const slices = await hitsOf(volume, "kind=volume");
  const { columns, rows } = await get(`items/${film.id}/frame`);
  const box = [0.3, 0.35, 0.25, 0.2].map((part, at) =>
    Math.round(part * (at % 2 ? rows : columns)),
  );
  const of = `study=${film.id}&hit=${found[0].id}`;
  return {
    compare: `#/compare?${of}`,
    "compare-alike": `#/compare?${of}&overlay=1&keep=${found[1].id}&all=1`,
    "compare-region": `#/compare?study=${film.id}&box=${box}`,
    "compare-volumes": `#/compare?study=${volume.id}&f=kind%3Dvolume&hit=${slices[0].id}&overlay=1`,
    "compare-empty": "#/compare",
  };
}
