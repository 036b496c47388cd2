<!DOCTYPE html><html lang="pl"><title>by 3.0</title><p>Wskaż autora.</p></html>
