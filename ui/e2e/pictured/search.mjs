// The states of the search view that are worth a picture: from a name to the address.

/** @param {string} url */
export async function pictured(url) {
  const studies = await (await fetch(`${url}/v1/studies?limit=500`)).json();
  const withPriors = studies.rows.filter(
    (row, at, rows) =>
      Object.keys(row.labels).length &&
      row.patient &&
      rows.some((other, there) => there !== at && other.patient === row.patient),
  );
  const study = (withPriors[5] ?? withPriors[0] ?? studies.rows[0]).study_instance_uid;
  const answer = await (
    await fetch(`${url}/v1/search`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ examples: [{ uid: study }], k: 3 }),
    })
  ).json();
  const [first, second] = answer.hits.map((hit) => hit.id);
  return {
    start: "#/search",
    results: `#/search?study=${study}`,
    mixed: `#/search?study=${study}&text=effusion&uid=${second}~-1&f=sex%3DF&keep=${first}`,
    list: `#/search?study=${study}&list=dense`,
    details: `#/search?study=${study}&hit=${first}`,
  };
}
