// Talks to the server. Every failure is an Error whose message is for the reviewer; `status` 409: somebody was faster.
async function answer(response) {
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try { message = JSON.parse(text).error; } catch { /* not of the server's own making */ }
  throw Object.assign(new Error(message), { status: response.status });
}

async function ask(path, options) {
  try {
    return await answer(await fetch(path, options));
  } catch (error) {
    if (error instanceof TypeError) throw new Error("the server does not answer; nothing was decided. Start it again and repeat the key");
    throw error;
  }
}

export const get = async (path) => (await ask(path)).json();
export const post = async (path, body) =>
  (await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();

// An item with its pixels (Uint16Array of frames) and shifts; without pixels where its frames are gone.
export async function load(id) {
  const item = await get(`/api/items/${id}`);
  if (item.problem) return item;
  const [pixels, shifts] = await Promise.all([
    ask(`/api/items/${id}/pixels`).then((r) => r.arrayBuffer()), get(`/api/items/${id}/shifts`)]);
  return { ...item, pixels: new Uint16Array(pixels), shifts };
}
