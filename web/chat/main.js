// The page begins here.
const answer = await fetch('/', { headers: { Accept: 'application/json' } });
const about = await answer.json();
document.title = `${about.name} ${about.version}`;

export {};
