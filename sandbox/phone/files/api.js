// The phone's HTTP API; every call has a deadline.
const DEADLINE_MS = 8000;

export class Refused extends Error {}

async function request(path, options = {}) {
  const answer = await fetch(`api${path}`, { ...options, signal: AbortSignal.timeout(DEADLINE_MS) });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(problem.detail || `HTTP ${answer.status}`);
}

const post = (path, body = {}) =>
  request(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

export const getState = () => request('/state');
export const getSessions = () => request('/sessions');
export const getChats = (phone) => request(`/${phone}/chats`);
export const getMessages = (phone, chat) => request(`/${phone}/messages?chat=${encodeURIComponent(chat)}`);
export const openPhone = (phone, name) => post('/phones', name ? { phone, name } : { phone });
export const pair = (phone, how) => post('/pair', { phone, ...how });
export const tell = (phone, action, body) => post(`/${phone}/${action}`, body);
export const report = (phone, id, ack) => tell(phone, 'receipt', { id, ack });
export const cutNetwork = (seconds) => post('/outage', { seconds });
export const loseFrames = (phone, loss) => tell(phone, 'frames', loss);
export const setRegistration = (phone, number, unregistered) => tell(phone, 'unregistered', { number, unregistered });
