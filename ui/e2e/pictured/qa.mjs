// The states of the view of quality that are worth a picture: from a name to the address.

/** @param {string} url */
export async function pictured(url) {
  const ask = async (path) => await (await fetch(`${url}/v1/${path}`)).json();
  const references = await ask("ood/references");
  // The reference that flags most shows most.
  const told = await Promise.all(
    references.map(async ({ name }) => {
      const asked = new URLSearchParams({ reference: name, flagged: "true", sort: "p_value" });
      return { name, rows: (await ask(`ood/scores?${asked}`)).rows };
    }),
  );
  const [most] = told.sort((a, b) => b.rows.length - a.rows.length);
  if (!most) return { qa: "#/qa" };
  const shown = most.rows.find(({ items }) => items[0].modality === "DX") ?? most.rows[0];
  const drifts = (await ask("jobs?kind=drift&state=done")).rows;
  const drift = drifts[0]?.parameters.reference ?? most.name;
  const fitted = references.find(({ heat }) => heat)?.name ?? most.name;
  const named = (name) => `#/qa?${new URLSearchParams({ reference: name })}`;
  return {
    "qa-incoming": named(most.name),
    "qa-study": `${named(most.name)}&study=${shown?.study_instance_uid ?? ""}`,
    "qa-drift": `${named(drift)}&tab=drift`,
    "qa-references": `${named(fitted)}&tab=references`,
    "qa-new": `${named(references[0].name)}&show=unjudged`,
  };
}
