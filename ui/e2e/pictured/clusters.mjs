// The states of the clusters view that are worth a picture: from a name to the address.

/** @param {string} url */
export async function pictured(url) {
  const runs = await (await fetch(`${url}/v1/clusters`)).json();
  const [first, second] = runs.map((run) => encodeURIComponent(run.name));
  if (!first) return { "clusters-none": "#/clusters" };
  const views = {
    "clusters-runs": "#/clusters",
    "clusters-run": `#/clusters?run=${first}`,
    "clusters-one": `#/clusters?run=${first}&cluster=1`,
    "clusters-new": "#/clusters?new=",
  };
  if (!second) return views;
  return { ...views, "clusters-compared": `#/clusters?run=${first}&against=${second}&from=0` };
}
