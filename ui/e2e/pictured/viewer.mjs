// The states of the viewer that are worth a picture: from a name to the address.

/** @param {string} url */
export async function pictured(url) {
  const { rows } = await (await fetch(`${url}/v1/items?limit=500`)).json();
  const place = (row) =>
    row ? `study=${row.study_instance_uid}&series=${row.series_instance_uid}` : "";
  const volume = rows.findLast((row) => row.kind === "volume" && row.modality === "CT");
  const film = rows.findLast((row) => row.modality === "CR" || row.modality === "DX");
  const moving = rows.findLast((row) => row.modality === "US");
  return {
    "view-volume": `#/view?${place(volume)}`,
    "view-film": `#/view?${place(film)}`,
    "view-colour": `#/view?${place(moving)}`,
    "view-none": "#/view",
  };
}
